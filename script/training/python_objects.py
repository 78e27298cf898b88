"""Python tasks about classes, generators, decorators, errors, records and dates; the form is that of python_lists.py."""
import datetime, json

from .draw import cities, goods, people
from .template import registry

tasks, task = registry()


def records(d, low=1, high=60):
    field = d.pick("price", "stock", "score", "weight", "age", "hours")
    names = d.among(goods, 5)
    return field, [{"name": n, field: v} for n, v in zip(names, d.rng.sample(range(low, high), 5))]


@task
def account_class(d):
    c, up, down, field = d.pick("Account", "Wallet", "Tank", "Store", "Purse", "Budget"), *d.pick(("deposit", "withdraw"), ("add", "take"), ("fill", "drain"), ("put", "remove")), d.pick("balance", "level", "amount", "total")
    a, b, start = d.whole(20, 90), d.whole(1, 19), d.whole(0, 50, 5)
    return [f"Write a class {c} with an attribute {field} that starts at {start}, and methods {up}(x) and {down}(x); {down} raises ValueError if {field} would become negative.", f"Define {c}: {up}(x) increases {field} (initially {start}), {down}(x) lowers it but never below zero, else ValueError.",
            f"Model a {c.lower()} as a class {c} with {up} and {down}; {field} begins with {start} and must stay at or above 0 (raise ValueError)."], \
        f"class {c}:\n    def __init__(self):\n        self.{field} = {start}\n\n    def {up}(self, x):\n        self.{field} += x\n\n    def {down}(self, x):\n        if x > self.{field}:\n            raise ValueError('not enough')\n        self.{field} -= x", \
        [[f"(lambda o: (o.{up}({a}), o.{down}({b}), o.{field})[-1])({c}())", start + a - b], [f"{c}().{down}({start + 1})", "raises ValueError"]]


@task
def stack_class(d):
    c, (kind, end) = d.pick("Pile", "Box", "Holder", "Line"), d.pick(("stack", "-1"), ("queue", "0"))
    push, pop = d.pick(("push", "pop"), ("add", "take"), ("put", "get"), ("insert", "remove"))
    xs = [d.whole(1, 60) for _ in range(3)]
    return [f"Write a class {c} that works as a {kind} with {push}(x), {pop}() and len().", f"Implement a {kind} named {c}: {push} stores an element, {pop} returns the {'newest' if kind == 'stack' else 'oldest'} one, len gives the number.", f"Define {c} with methods {push} and {pop} in the order of a {kind} and with __len__."], \
        f"from collections import deque\n\n\nclass {c}:\n    def __init__(self):\n        self._items = deque()\n\n    def {push}(self, x):\n        self._items.append(x)\n\n    def {pop}(self):\n        return self._items.{'pop' if kind == 'stack' else 'popleft'}()\n\n    def __len__(self):\n        return len(self._items)", \
        [[f"(lambda o: ([o.{push}(x) for x in {xs}], o.{pop}(), o.{pop}(), len(o))[1:])({c}())", [xs[-1], xs[-2], 1] if kind == "stack" else [xs[0], xs[1], 1]], [f"{c}().{pop}()", "raises IndexError"]]


@task
def point_dataclass(d):
    c, (x, y) = d.pick("Step", "Shift", "Offset", "Move", "Vector"), d.pick(("x", "y"), ("left", "top"), ("east", "north"))
    a, b = [d.whole(-9, 9) for _ in range(2)], [d.whole(-9, 9) for _ in range(2)]
    sign, word, back = d.pick(("+", "__add__", "added"), ("-", "__sub__", "subtracted"))
    out = [p + q if sign == "+" else p - q for p, q in zip(a, b)]
    return [f"Write a frozen dataclass {c} with {x} and {y} whose objects can be {back} with '{sign}'.", f"Define {c}({x}, {y}) as an immutable dataclass that supports {c}(1, 2) {sign} {c}(3, 4).", f"Give a dataclass {c} (fields {x}, {y}; frozen) the operator {sign}, component by component."], \
        f"from dataclasses import dataclass\n\n\n@dataclass(frozen=True)\nclass {c}:\n    {x}: int\n    {y}: int\n\n    def {word}(self, other):\n        return {c}(self.{x} {sign} other.{x}, self.{y} {sign} other.{y})", \
        [[f"(lambda p: [p.{x}, p.{y}])({c}({a[0]}, {a[1]}) {sign} {c}({b[0]}, {b[1]}))", out], [f"{c}(1, 2) == {c}(1, 2)", True], [f"setattr({c}(1, 2), '{x}', 5)", "raises FrozenInstanceError"]]


@task
def every_nth(d):
    f, a, k, s = d.pick("every_nth", "thin_out", "sparse", "stride"), d.pick("items", "stream", "values", "source"), d.whole(2, 5), d.whole(0, 1)
    n = d.whole(8, 16)
    return [f"Write a generator {f}({a}) that yields every {k}th element of an iterable, beginning with element {s} (counting from 0).", f"{f}({a}) is a generator over any iterable: it yields the elements with index {s}, {s + k}, {s + 2 * k} and so on.", f"Thin out a stream lazily: generator {f}({a}) yields one element of {k}, the first at index {s}."], \
        f"def {f}({a}):\n    for index, element in enumerate({a}):\n        if index % {k} == {s}:\n            yield element", [[f"list({f}(range({n})))", [i for i in range(n) if (i - s) % k == 0]], [f"list({f}([]))", []]]


@task
def countdown(d):
    f, n, k = d.pick("countdown", "backwards", "descend", "steps_down"), d.pick("n", "start", "top"), d.whole(2, 6)
    m = d.whole(15, 40)
    out, v = [], m
    while v > 0:
        out.append(v)
        v -= k
    return [f"Write a generator {f}({n}) that yields {n}, {n} - {k}, … as long as the value is positive.", f"{f}({n}) counts down from {n} in steps of {k} and stops before zero or less; use yield.", f"Implement a generator that descends from {n} by {k} while above 0: {f}({n})."], \
        f"def {f}({n}):\n    while {n} > 0:\n        yield {n}\n        {n} -= {k}", [[f"list({f}({m}))", out], [f"list({f}(0))", []]]


@task
def scaled_decorator(d):
    f, k, (verb, sign) = d.pick("scaled", "adjusted", "changed", "modified"), d.whole(2, 30), d.pick(("multiplies the result by", "*"), ("adds to the result", "+"), ("subtracts from the result", "-"))
    x, y = d.whole(1, 30), d.whole(1, 30)
    out = {"*": (x + y) * k, "+": x + y + k, "-": x + y - k}[sign]
    return [f"Write a decorator {f} that {verb} the number {k}. The name of the function must survive.", f"{f} wraps a function of any arguments and {verb} {k}; use functools.wraps.", f"Implement @{f}: the decorated function's return value r becomes r {sign} {k}, its __name__ stays."], \
        f"from functools import wraps\n\n\ndef {f}(function):\n    @wraps(function)\n    def wrapper(*args, **kwargs):\n        return function(*args, **kwargs) {sign} {k}\n    return wrapper", \
        [[f"{f}(lambda a, b: a + b)({x}, b={y})", out], [f"{f}(len).__name__", "len"]]


@task
def retry(d):
    f, k, e = d.pick("retry", "attempt", "persist", "keep_trying"), d.whole(2, 5), d.pick("ValueError", "KeyError", "OSError", "TimeoutError")
    return [f"Write {f}(action) that calls action() up to {k} times until it does not raise {e}; the last error is passed on.", f"{f}(action): return action(), trying again on {e}, at most {k} calls in all.", f"Call a function without arguments repeatedly, {k} times at most, as long as it raises {e}: {f}(action)."], \
        f"def {f}(action):\n    for attempt in range({k}):\n        try:\n            return action()\n        except {e}:\n            if attempt == {k - 1}:\n                raise", \
        [[f"(lambda calls: [{f}(lambda: fail_until({k}, calls)), len(calls)])([])", [k, k]], [f"{f}(lambda: fail_until({k + 1}, []))", f"raises {e}"],
         [f"(lambda calls: [{f}(lambda: fail_until(1, calls)), len(calls)])([])", [1, 1]]], \
        f"def fail_until(last, calls):\n    calls.append(1)\n    if len(calls) < last:\n        raise {e}('not yet')\n    return len(calls)"


@task
def checked_input(d):
    f, n, low = d.pick("checked", "parse_count", "read_number", "to_amount"), d.pick("text", "raw", "entry", "field"), d.whole(0, 10)
    high = low + d.whole(10, 200)
    v = d.whole(low, high)
    return [f"Write {f}({n}) that converts a text to an integer and raises ValueError unless it lies between {low} and {high}.", f"{f}({n}) returns int({n}) if {low} <= value <= {high}; otherwise ValueError with a message.", f"Validate user input: {f}({n}) accepts whole numbers from {low} to {high} only and raises ValueError for everything else."], \
        f"def {f}({n}):\n    value = int({n})\n    if not {low} <= value <= {high}:\n        raise ValueError(f'expected {low} to {high}, found {{value}}')\n    return value", [[f"{f}('{v}')", v], [f"{f}(' {low} ')", low], [f"{f}('{high + 1}')", "raises ValueError"], [f"{f}('x')", "raises ValueError"]]


@task
def sort_records(d):
    f, a, down = d.pick("sorted_names", "ranking", "order_by", "arrange"), d.pick("records", "rows", "products", "entries"), d.chance(0.5)
    field, rs = records(d)
    rest, out = rs[:], []
    while rest:   # selection sort, so that the expectation does not use sorted()
        best = rest[0]
        for r in rest:
            if (r[field] > best[field]) == down and r[field] != best[field]:
                best = r
        rest.remove(best)
        out.append(best["name"])
    return [f"Write {f}({a}): the names of a list of dictionaries (name, {field}), sorted by {field}, {'highest' if down else 'lowest'} first.", f"{f}({a}) sorts records by '{field}' {'downwards' if down else 'upwards'} and returns their 'name' values.", f"Given dictionaries with 'name' and '{field}', return the names in {'descending' if down else 'ascending'} order of {field}: {f}({a})."], \
        f"def {f}({a}):\n    ordered = sorted({a}, key=lambda r: r['{field}']{', reverse=True' if down else ''})\n    return [r['name'] for r in ordered]", [[f"{f}({rs})", out], [f"{f}([])", []]]


@task
def record_filter_json(d):
    f, a, k = d.pick("names_from_json", "select_json", "read_names", "pick_from_json"), d.pick("text", "document", "payload", "source"), d.whole(10, 45)
    field, rs = records(d)
    return [f"Write {f}({a}) that parses a JSON list of objects with name and {field} and returns the names whose {field} is at least {k}.", f"{f}({a}): from JSON text, list the 'name' of every object with '{field}' >= {k}.", f"Read records from a JSON string and keep those of {k} or more {field}; {f}({a}) returns their names."], \
        f"import json\n\n\ndef {f}({a}):\n    return [r['name'] for r in json.loads({a}) if r['{field}'] >= {k}]", [[f"{f}({json.dumps(rs)!r})", [r["name"] for r in rs if not r[field] < k]], [f"{f}('[]')", []]]


@task
def nested_lookup(d):
    f, a, b = d.pick("lookup", "dig", "get_path", "fetch"), d.pick("tree", "config", "data", "settings"), d.pick("path", "key", "address")
    sep, default = d.pick(".", "/", ":"), d.pick("None", "0", "''", "-1")
    x, y, z = d.among(cities, 3)
    v = d.whole(1, 90)
    tree = {x: {y: v}, z: 1}
    return [f"Write {f}({a}, {b}) that follows a text like 'a{sep}b{sep}c' through nested dictionaries and returns {default} if a key is missing.", f"{f}({a}, {b}): split {b} at '{sep}' and look up one key after the other; {default} when it cannot go on.", f"Access nested dicts by a path with '{sep}' between the keys: {f}({a}, {b}), default {default}."], \
        f"def {f}({a}, {b}):\n    node = {a}\n    for key in {b}.split('{sep}'):\n        if not isinstance(node, dict) or key not in node:\n            return {default}\n        node = node[key]\n    return node", \
        [[f"{f}({tree}, '{x}{sep}{y}')", v], [f"{f}({tree}, '{x}{sep}{z}')", eval(default)], [f"{f}({tree}, '{z}{sep}{y}')", eval(default)]]


@task
def depth_of_nesting(d):
    f, a, (what, base) = d.pick("depth", "nesting", "levels", "how_deep"), d.pick("tree", "value", "node", "structure"), d.pick(("list", 0), ("list", 1), ("tuple", 0), ("tuple", 1))
    k = d.whole(2, 5)
    v = d.whole(1, 50)
    t = str(v)
    for _ in range(k):
        t = f"[{t}, {d.whole(1, 9)}]" if what == "list" else f"({t}, {d.whole(1, 9)})"
    return [f"Write a recursive function {f}({a}) for the depth of nested {what}s; something that is no {what} has depth {base}.", f"{f}({a}) returns {base} for a value that is not a {what}, otherwise 1 more than its deepest element (an empty {what} counts {base + 1}).", f"How deeply are {what}s nested? Implement {f}({a}) by recursion, counting from {base} for plain values."], \
        f"def {f}({a}):\n    if not isinstance({a}, {what}):\n        return {base}\n    return 1 + max(({f}(x) for x in {a}), default={base})", [[f"{f}({t})", base + k], [f"{f}(3)", base], [f"{f}({what}())", base + 1]]


@task
def working_days(d):
    f, a, b = d.pick("count_days", "weekdays_between", "days_of_kind", "matching_days"), *d.pick(("start", "end"), ("first", "last"), ("begin", "until"))
    names = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
    k = d.whole(0, 6)
    x = datetime.date(d.whole(2000, 2030), d.whole(1, 12), d.whole(1, 28))
    y = x + datetime.timedelta(d.whole(10, 80))
    want = sum(datetime.date.fromordinal(o).strftime("%A") == names[k] for o in range(x.toordinal(), y.toordinal() + 1))
    return [f"Write {f}({a}, {b}) that counts the {names[k]}s from one date to another, both included; the dates are ISO texts.", f"{f}({a}, {b}): how many {names[k]}s lie between two ISO dates, inclusive?", f"Count every {names[k]} in the period from {a} to {b} (texts like '2024-05-31', ends included): {f}({a}, {b})."], \
        f"from datetime import date, timedelta\n\n\ndef {f}({a}, {b}):\n    day, last = date.fromisoformat({a}), date.fromisoformat({b})\n    count = 0\n    while day <= last:\n        count += day.weekday() == {k}\n        day += timedelta(days=1)\n    return count", [[f"{f}('{x}', '{y}')", want], [f"{f}('2024-05-31', '2024-05-30')", 0]]


@task
def add_months(d):
    f, a, k = d.pick("later", "due_date", "add_period", "shift_month"), d.pick("day", "start", "date_text", "issued"), d.whole(1, 18)
    month = d.whole(1, 12)
    x = datetime.date(d.whole(2001, 2030), month, d.pick(5, 12, 28) if month == 2 else d.pick(5, 12, 28, 30))
    y, m = x.year, x.month
    for _ in range(k):
        y, m = (y, m + 1) if m < 12 else (y + 1, 1)
    day = x.day
    while True:
        try:
            want = datetime.date(y, m, day)
            break
        except ValueError:
            day -= 1
    return [f"Write {f}({a}) that returns the ISO date {k} months after an ISO date; a day that the month lacks becomes its last day.", f"{f}({a}): add {k} calendar months to a date given as text; clip to the end of the month if needed.", f"Compute the date {k} months later as text, e.g. for payment terms: {f}({a}). The 31st turns into the last day of a short month."], \
        f"import calendar\nfrom datetime import date\n\n\ndef {f}({a}):\n    start = date.fromisoformat({a})\n    years, month = divmod(start.month - 1 + {k}, 12)\n    year = start.year + years\n    day = min(start.day, calendar.monthrange(year, month + 1)[1])\n    return date(year, month + 1, day).isoformat()", [[f"{f}('{x}')", want.isoformat()]]


@task
def best_by_group(d):
    f, a = d.pick("best_by_city", "leaders", "top_of_each", "city_champions"), d.pick("records", "rows", "entries", "results")
    field = d.pick("points", "sales", "score", "votes")
    rs = [(n, d.pick(*cities[:3]), v) for n, v in zip(d.among(people, 6), d.rng.sample(range(1, 90), 6))]
    out = {c: max((r for r in rs if r[1] == c), key=lambda r: r[2])[0] for _, c, _ in rs}
    return [f"Write {f}({a}) for tuples (name, city, {field}): a dictionary from each city to the name with the most {field}.", f"{f}({a}) finds, for every city in a list of (name, city, {field}), the leading name.", f"Group (name, city, {field}) tuples by city and keep the name with the highest {field}: {f}({a})."], \
        f"def {f}({a}):\n    best = {{}}\n    for name, city, {field} in {a}:\n        if city not in best or {field} > best[city][1]:\n            best[city] = name, {field}\n    return {{city: name for city, (name, _) in best.items()}}", [[f"{f}({rs})", out], [f"{f}([])", {}]]
