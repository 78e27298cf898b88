"""Python tasks about numbers and collections. A task returns (wordings, code, tests); a test is [expression, expected value].

Expectations are computed here by other means than the code of the answer: brute force, the mathematical definition or the library.
"""
import math, statistics

from .template import Unlucky, registry

tasks, task = registry()


def numbers(d, count=None, low=-20, high=60):
    return [d.rng.randint(low, high) for _ in range(count or d.whole(4, 7))]


def arg(d):
    return d.pick("values", "numbers", "items", "data", "xs", "series", "amounts", "samples", "row", "entries")


@task
def sum_of_multiples(d):
    f, k, n = d.pick("sum_multiples", "multiples_total", "add_multiples", "total_divisible", "sum_divisible_by"), d.whole(3, 19), d.pick("limit", "n", "bound", "end", "top")
    return [f"Write a function {f}({n}) that adds all positive multiples of {k} below {n}.", f"{f}({n}) shall return the sum of the numbers from 1 to {n} - 1 that are divisible by {k}. Write it.", f"Implement {f}({n}): sum up every multiple of {k} smaller than {n}, starting with {k}."], \
        f"def {f}({n}):\n    return sum(range({k}, {n}, {k}))", [[f"{f}({m})", sum(i for i in range(1, m) if i % k == 0)] for m in (d.whole(20, 300), k, 1)]


@task
def larger_than(d):
    f, a, k = d.pick("keep_large", "above", "filter_over", "only_greater", "select_big", "exceeding"), arg(d), d.whole(-5, 45)
    xs = numbers(d)
    return [f"Write {f}({a}) that returns the elements greater than {k}, in their order.", f"Define {f}({a}): a new list with only those elements of {a} that exceed {k}.", f"Filter a list: {f}({a}) keeps what is larger than {k}."], \
        f"def {f}({a}):\n    return [x for x in {a} if x > {k}]", [[f"{f}({xs})", list(filter(lambda x: x > k, xs))], [f"{f}([])", []], [f"{f}([{k}, {k + 1}])", [k + 1]]]


@task
def running_sums(d):
    f, a, start = d.pick("running_total", "cumulate", "prefix_sums", "accumulate_from", "balances"), arg(d), d.whole(0, 90, 5)
    xs = numbers(d)
    return [f"Write {f}({a}) that returns the running totals of a list, starting from {start}.", f"{f}({a}) returns a list whose i-th element is {start} plus the sum of the first i + 1 elements of {a}. Code it.", f"Starting with a balance of {start}, add the elements of {a} one by one and collect every balance: {f}({a})."], \
        f"def {f}({a}):\n    total = {start}\n    result = []\n    for x in {a}:\n        total += x\n        result.append(total)\n    return result", [[f"{f}({xs})", [start + sum(xs[:i + 1]) for i in range(len(xs))]], [f"{f}([])", []]]


@task
def sliding_mean(d):
    f, a, k = d.pick("sliding_mean", "window_average", "smooth", "rolling_average", "moving_mean"), arg(d), d.whole(2, 4)
    xs = numbers(d, d.whole(5, 7))
    return [f"Write {f}({a}) that returns the averages of all windows of {k} neighbouring elements.", f"Implement {f}({a}): the mean of each run of {k} consecutive elements, from left to right.", f"Smooth a list with {f}({a}); every output is the average of {k} elements in a row."], \
        f"def {f}({a}):\n    return [sum({a}[i:i + {k}]) / {k} for i in range(len({a}) - {k - 1})]", [[f"{f}({xs})", [statistics.fmean(xs[i:i + k]) for i in range(len(xs) - k + 1)]], [f"{f}({xs[:k - 1]})", []]]


@task
def rotate(d):
    f, a, k = d.pick("rotate", "shift_left", "turn", "cycle_by", "move_front_back"), arg(d), d.whole(2, 5)
    xs = numbers(d)
    rotated = xs[:]
    for _ in range(k):
        rotated.append(rotated.pop(0))
    return [f"Write {f}({a}) that rotates a list {k} places to the left. It must work for lists of any length.", f"{f}({a}) moves the first element to the end, {k} times in all, and returns a new list; an empty list stays empty.", f"Implement a left rotation by {k} positions, {f}({a}), without changing the argument."], \
        f"def {f}({a}):\n    if not {a}:\n        return []\n    k = {k} % len({a})\n    return {a}[k:] + {a}[:k]", [[f"{f}({xs})", rotated], [f"{f}([])", []], [f"{f}([7])", [7]]]


@task
def pieces(d):
    f, a, k = d.pick("chunks", "split_list", "pieces_of", "in_groups", "batch", "slices"), arg(d), d.whole(2, 4)
    xs = numbers(d, d.whole(5, 9))
    out, rest = [], xs
    while rest:
        out, rest = out + [rest[:k]], rest[k:]
    return [f"Write {f}({a}) that cuts a list into pieces of {k} elements; the last may be shorter.", f"{f}({a}) returns a list of lists with at most {k} elements each, in order. Implement it.", f"Divide {a} into groups of {k}: {f}({a}). A shorter rest forms the last group."], \
        f"def {f}({a}):\n    return [{a}[i:i + {k}] for i in range(0, len({a}), {k})]", [[f"{f}({xs})", out], [f"{f}([])", []]]


@task
def digit_sum(d):
    f, n, b = d.pick("digit_sum", "cross_sum", "add_digits", "sum_of_digits"), d.pick("n", "number", "value", "x"), d.pick(10, 10, 2, 8, 16)
    ms = [d.whole(100, 99999) for _ in range(2)] + [0]
    digits = lambda m: sum(int(c, 16) for c in format(m, {10: "d", 2: "b", 8: "o", 16: "x"}[b]))
    return [f"Write {f}({n}) for the sum of the digits of a non-negative integer in base {b}.", f"{f}({n}) adds up the base-{b} digits of {n}. Implement it with arithmetic only.", f"Compute the digit sum to base {b}: {f}({n}), for {n} >= 0."], \
        f"def {f}({n}):\n    total = 0\n    while {n}:\n        {n}, digit = divmod({n}, {b})\n        total += digit\n    return total", [[f"{f}({m})", digits(m)] for m in ms]


@task
def primes_below(d):
    f, n = d.pick("primes_below", "small_primes", "sieve", "list_primes", "primes_up_to"), d.pick("n", "limit", "bound", "top")
    word, plus = d.pick(("smaller than", 0), ("up to and including", 1))
    m = d.whole(20, 120)
    return [f"Write {f}({n}) that lists the prime numbers {word} {n}.", f"Implement a sieve: {f}({n}) returns all primes {word} {n} in ascending order.", f"Which numbers {word} {n} are prime? Code {f}({n})."], \
        f"def {f}({n}):\n    size = {n}{' + 1' if plus else ''}\n    prime = [True] * max(size, 2)\n    prime[0] = prime[1] = False\n    for i in range(2, int(size ** 0.5) + 1):\n        if prime[i]:\n            for j in range(i * i, size, i):\n                prime[j] = False\n    return [i for i in range(2, size) if prime[i]]", \
        [[f"{f}({k})", [p for p in range(2, k + plus) if all(p % q for q in range(2, p))]] for k in (m, 11, 1)]


@task
def prime_factors(d):
    f, n = d.pick("factorise", "prime_factors", "factors", "decompose"), d.pick("n", "number", "value", "x")
    ps = sorted(d.rng.choice([2, 3, 5, 7, 11, 13, 17]) for _ in range(d.whole(2, 4)))
    return [f"Write {f}({n}) that returns the prime factors of {n} in ascending order, with repetitions.", f"{f}({n}) shall split an integer above 1 into primes. Return them as a sorted list.", f"Decompose a number into its prime factors: {f}({n})."], \
        f"def {f}({n}):\n    found = []\n    p = 2\n    while p * p <= {n}:\n        while {n} % p == 0:\n            found.append(p)\n            {n} //= p\n        p += 1\n    if {n} > 1:\n        found.append({n})\n    return found", [[f"{f}({math.prod(ps)})", ps], [f"{f}(97)", [97]]]


@task
def transpose(d):
    f, a = d.pick("transpose", "swap_axes", "columns", "flip_table", "turn_rows_into_columns"), d.pick("matrix", "table", "rows", "grid")
    r, c = d.whole(2, 3), d.whole(2, 4)
    m = [numbers(d, c, 0, 20) for _ in range(r)]
    return [f"Write {f}({a}) that exchanges rows and columns of a list of lists.", f"{f}({a}) returns the columns of {a} as lists. Implement it.", f"Transpose a rectangular list of lists with {f}({a})."], f"def {f}({a}):\n    return [list(column) for column in zip(*{a})]", [[f"{f}({m})", [[m[i][j] for i in range(r)] for j in range(c)]]]


@task
def common_elements(d):
    f, a, b = d.pick("common", "shared", "in_both", "overlap"), *d.pick(("left", "right"), ("a", "b"), ("first", "second"), ("old", "new"))
    x, y = numbers(d, 6, 0, 12), numbers(d, 6, 0, 12)
    keep, text = d.pick((True, "that also occur in"), (False, "that do not occur in"))
    seen = []
    for v in x:
        if (v in y) == keep and v not in seen:
            seen.append(v)
    return [f"Write {f}({a}, {b}) that returns the elements of {a} {text} {b}, each once, in order of first appearance.", f"{f}({a}, {b}): which distinct elements of {a} are there {text} {b}? Keep their order.", f"Compare two lists: {f}({a}, {b}) lists, without repetition, elements of {a} {text} {b}."], \
        f"def {f}({a}, {b}):\n    other = set({b})\n    return [x for x in dict.fromkeys({a}) if x {'in' if keep else 'not in'} other]", [[f"{f}({x}, {y})", seen], [f"{f}([], {y})", []]]


@task
def merge_intervals(d):
    f, a = d.pick("merge_intervals", "join_ranges", "unite", "merge_spans"), d.pick("intervals", "spans", "ranges", "pairs")
    xs = [[s, s + d.whole(1, 6)] for s in (d.whole(0, 30) for _ in range(d.whole(3, 6)))]
    # Half steps tell touching intervals from separate ones.
    points = sorted({p / 2 for s, e in xs for p in range(2 * s, 2 * e + 1)})
    out = []
    for p in points:
        if out and p - out[-1][1] == 0.5:
            out[-1][1] = p
        else:
            out.append([p, p])
    out = [[int(s), int(e)] for s, e in out]
    return [f"Write {f}({a}) that merges overlapping or touching [start, end] intervals and returns them sorted.", f"{f}({a}) unites closed intervals that share a point. Return lists [start, end] in ascending order.", f"Given a list of [start, end] pairs, combine those that meet: {f}({a})."], \
        f"def {f}({a}):\n    merged = []\n    for start, end in sorted({a}):\n        if merged and start <= merged[-1][1]:\n            merged[-1][1] = max(merged[-1][1], end)\n        else:\n            merged.append([start, end])\n    return merged", [[f"{f}({xs})", out], [f"{f}([])", []]]


@task
def pair_with_sum(d):
    f, a, k = d.pick("pair_with_sum", "find_pair", "two_with_sum", "complement"), arg(d), d.whole(15, 60)
    xs = d.rng.sample(range(0, 40), 7)
    has = any(x + y == k for i, x in enumerate(xs) for y in xs[i + 1:])
    return [f"Write {f}({a}) that tells whether two different positions of the list add up to {k}.", f"{f}({a}) returns True if some two elements (at different positions) have the sum {k}, in linear time.", f"Is there a pair with sum {k}? Implement {f}({a}) with a set."], \
        f"def {f}({a}):\n    seen = set()\n    for x in {a}:\n        if {k} - x in seen:\n            return True\n        seen.add(x)\n    return False", [[f"{f}({xs})", has], [f"{f}([{k}])", False], [f"{f}([1, {k - 1}])", True]]


@task
def most_common_value(d):
    f, a = d.pick("mode", "most_frequent", "commonest", "winner"), arg(d)
    xs = numbers(d, 7, 0, 4)
    best = max(xs, key=lambda v: (xs.count(v), -v))
    return [f"Write {f}({a}) that returns the most frequent element; of several, the smallest.", f"{f}({a}) finds the value that occurs most often (ties: the smallest one).", f"Determine the mode of a non-empty list with {f}({a}); prefer the lower value on a tie."], \
        f"from collections import Counter\n\n\ndef {f}({a}):\n    counts = Counter({a})\n    return min(counts, key=lambda v: (-counts[v], v))", [[f"{f}({xs})", best], [f"{f}([3])", 3]]


@task
def middle_value(d):
    f, a = d.pick("median", "middle", "central_value", "middle_of"), arg(d)
    xs, ys = numbers(d, d.pick(5, 7)), numbers(d, d.pick(4, 6))
    return [f"Write {f}({a}) that returns the median; for an even number of elements, the mean of the two in the middle.", f"{f}({a}) computes the median without the statistics module.", f"Implement the median of a non-empty list: {f}({a})."], \
        f"def {f}({a}):\n    ordered = sorted({a})\n    half = len(ordered) // 2\n    if len(ordered) % 2:\n        return ordered[half]\n    return (ordered[half - 1] + ordered[half]) / 2", [[f"{f}({xs})", statistics.median(xs)], [f"{f}({ys})", float(statistics.median(ys))]]


@task
def variance(d):
    f, a, (word, k) = d.pick("variance", "spread", "mean_square_deviation", "var"), arg(d), d.pick(("population", 0), ("sample", 1))
    xs = numbers(d, 5)
    return [f"Write {f}({a}) for the {word} variance of a list.", f"{f}({a}) returns the {word} variance, that is the squared deviations from the mean summed and divided by {'n - 1' if k else 'n'}.", f"Compute the {word} variance by hand: {f}({a})."], \
        f"def {f}({a}):\n    mean = sum({a}) / len({a})\n    return sum((x - mean) ** 2 for x in {a}) / {f'(len({a}) - 1)' if k else f'len({a})'}", [[f"{f}({xs})", float((statistics.variance if k else statistics.pvariance)([float(x) for x in xs]))]]


@task
def clamp(d):
    f, a, low = d.pick("clamp", "limit", "clip", "bounded"), arg(d), d.whole(-20, 10)
    high = low + d.whole(5, 40)
    xs = numbers(d)
    return [f"Write {f}({a}) that limits every element to the range from {low} to {high}.", f"{f}({a}) returns a list in which elements below {low} become {low} and those above {high} become {high}.", f"Clip a list of numbers to [{low}, {high}] with {f}({a})."], \
        f"def {f}({a}):\n    return [min(max(x, {low}), {high}) for x in {a}]", [[f"{f}({xs})", [low if x < low else high if x > high else x for x in xs]], [f"{f}([{low - 1}, {high + 1}])", [low, high]]]


@task
def longest_run(d):
    f, a = d.pick("longest_run", "longest_rise", "rising_streak", "best_streak"), arg(d)
    xs = numbers(d, 8, 0, 15)
    best = max((j - i for i in range(len(xs)) for j in range(i + 1, len(xs) + 1) if all(xs[k] < xs[k + 1] for k in range(i, j - 1))), default=0)
    return [f"Write {f}({a}) that returns the length of the longest strictly rising run of neighbours.", f"{f}({a}): how many consecutive elements rise strictly, at most? 0 for an empty list.", f"Find the length of the longest increasing contiguous part of a list with {f}({a})."], \
        f"def {f}({a}):\n    best = length = 0\n    previous = None\n    for x in {a}:\n        length = length + 1 if previous is not None and x > previous else 1\n        best = max(best, length)\n        previous = x\n    return best", [[f"{f}({xs})", best], [f"{f}([])", 0], [f"{f}([5, 5])", 1]]


@task
def best_window(d):
    f, a, k = d.pick("best_window", "largest_sum", "richest_span", "max_window"), arg(d), d.whole(2, 4)
    xs = numbers(d, 8)
    return [f"Write {f}({a}) for the largest sum of {k} neighbouring elements.", f"{f}({a}) returns the maximum over all sums of {k} consecutive elements, in linear time.", f"Use a sliding window to find the greatest total of {k} elements in a row: {f}({a})."], \
        f"def {f}({a}):\n    current = best = sum({a}[:{k}])\n    for i in range({k}, len({a})):\n        current += {a}[i] - {a}[i - {k}]\n        best = max(best, current)\n    return best", [[f"{f}({xs})", max(sum(xs[i:i + k]) for i in range(len(xs) - k + 1))]]


@task
def partition(d):
    f, a, k = d.pick("partition", "separate", "split_by", "divide"), arg(d), d.whole(2, 7)
    xs = numbers(d, 7, 0, 60)
    return [f"Write {f}({a}) that returns two lists: the multiples of {k} and the rest, both in order.", f"{f}({a}) splits {a} into a pair (divisible by {k}, not divisible by {k}).", f"Separate the elements that {k} divides from the others: {f}({a}) returns both lists."], \
        f"def {f}({a}):\n    yes, no = [], []\n    for x in {a}:\n        (no if x % {k} else yes).append(x)\n    return yes, no", [[f"{f}({xs})", [[x for x in xs if x % k == 0], [x for x in xs if x % k]]]]


@task
def greatest_divisor(d):
    f, a = d.pick("common_divisor", "gcd_of", "greatest_divisor", "shared_factor"), arg(d)
    k = d.whole(2, 12)
    xs = [k * d.whole(1, 30) for _ in range(d.whole(3, 5))]
    best = max(g for g in range(1, max(xs) + 1) if all(x % g == 0 for x in xs))
    return [f"Write {f}({a}) for the greatest common divisor of a list of positive integers, with Euclid's algorithm.", f"{f}({a}) returns the largest number that divides all elements.", f"Implement the gcd of several numbers: {f}({a}), without importing math."], \
        f"def {f}({a}):\n    result = 0\n    for x in {a}:\n        while x:\n            result, x = x, result % x\n    return result", [[f"{f}({xs})", best], [f"{f}([9])", 9]]


@task
def halving_steps(d):
    f, n, k = d.pick("steps", "collatz_steps", "chain_length", "count_steps"), d.pick("n", "start", "x"), d.pick(1, 1, 2, 4)
    def walk(m):
        path = [m]
        while path[-1] != k and len(path) < 5000:
            path.append(path[-1] // 2 if path[-1] % 2 == 0 else 3 * path[-1] + 1)
        return len(path) - 1
    ms = [d.whole(5, 60) for _ in range(3)]
    return [f"Write {f}({n}) that counts the Collatz steps (halve even numbers, 3n + 1 for odd ones) until {k} is reached.", f"{f}({n}): how many times must the rule 'even: divide by 2, odd: times 3 plus 1' be applied to get from {n} to {k}?", f"Count the steps of the Collatz sequence from {n} to the first {k} in a function {f}({n})."], \
        f"def {f}({n}):\n    count = 0\n    while {n} != {k}:\n        {n} = {n} // 2 if {n} % 2 == 0 else 3 * {n} + 1\n        count += 1\n    return count", [[f"{f}({m})", walk(m)] for m in ms]


@task
def linear_recurrence(d):
    f, n, a, b, p, q = d.pick("term", "recurrence", "sequence_term", "nth"), d.pick("n", "index", "k"), d.whole(0, 5), d.whole(1, 6), d.whole(1, 3), d.whole(1, 3)
    if (a, b, p, q) in ((0, 1, 1, 1), (1, 1, 1, 1)):
        raise Unlucky   # the handbook's questions ask for that sequence
    xs = [a, b]
    while len(xs) < 12:
        xs.append(p * xs[-1] + q * xs[-2])
    text = f"{'' if p == 1 else str(p) + ' times '}the previous term plus {'' if q == 1 else str(q) + ' times '}the one before"
    return [f"A sequence starts with {a}, {b}; every further term is {text}. Write {f}({n}), counting from 0.", f"Write {f}({n}) without recursion for the sequence {a}, {b}, … in which each term is {text}; {f}(0) is {a}.", f"Terms 0 and 1 are {a} and {b}, each later one is {text}. Implement {f}({n})."], \
        f"def {f}({n}):\n    x, y = {a}, {b}\n    for _ in range({n}):\n        x, y = y, {p} * y + {q} * x\n    return x", [[f"{f}({k})", xs[k]] for k in (0, 1, d.whole(3, 11))]
