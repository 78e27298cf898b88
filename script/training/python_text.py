"""Python tasks about texts and dictionaries; the form is that of python_lists.py."""
import itertools, re, string

from .draw import cities, goods, people
from .template import registry

tasks, task = registry()
words = "amber basil cedar delta ember fjord gravel harbor island jungle kettle lemon marble nectar onion pepper quartz river saddle timber".split()


def some(d, count=None):
    return d.among(words, count or d.whole(4, 6))


def arg(d):
    return d.pick("text", "line", "sentence", "message", "phrase", "source", "s")


@task
def long_words(d):
    f, a, k = d.pick("long_words", "words_over", "pick_long", "lengthy"), arg(d), d.whole(4, 6)
    t = " ".join(some(d))
    return [f"Write {f}({a}) that returns the words with more than {k} letters, in order.", f"{f}({a}) splits at blanks and keeps the words longer than {k} characters.", f"List all words of {a} whose length exceeds {k}: {f}({a})."], \
        f"def {f}({a}):\n    return [word for word in {a}.split() if len(word) > {k}]", [[f"{f}({t!r})", re.findall(r"\S{%d,}" % (k + 1), t)], [f"{f}('')", []]]


@task
def caesar(d):
    f, a, k = d.pick("caesar", "encode", "shift_letters", "encrypt"), arg(d), d.whole(1, 25)
    t = " ".join(some(d, 3)).capitalize()
    low = string.ascii_lowercase
    table = str.maketrans(low + low.upper(), low[k:] + low[:k] + (low[k:] + low[:k]).upper())
    return [f"Write {f}({a}) that shifts every letter {k} places in the alphabet, keeping case; other characters stay.", f"Implement a Caesar cipher with shift {k}: {f}({a}). Only a-z and A-Z change.", f"{f}({a}) replaces each letter by the one {k} positions later, from z back to a."], \
        f"def {f}({a}):\n    result = ''\n    for c in {a}:\n        if c.isascii() and c.isalpha():\n            base = ord('a') if c.islower() else ord('A')\n            c = chr((ord(c) - base + {k}) % 26 + base)\n        result += c\n    return result", [[f"{f}({t!r})", t.translate(table)], [f"{f}('zZ 9')", "zZ 9".translate(table)]]


@task
def count_letters(d):
    f, a, k = d.pick("count_letters", "count_of", "letters_in", "tally"), arg(d), "".join(sorted(d.among("aeiourstln", d.whole(2, 4))))
    t = " ".join(some(d)).title()
    return [f"Write {f}({a}) that counts how often the letters {', '.join(k)} occur, ignoring case.", f"{f}({a}) returns the number of characters of {a} that are one of '{k}', upper or lower case.", f"Count the letters '{k}' in a text without regard to case: {f}({a})."], \
        f"def {f}({a}):\n    return sum(c in '{k}' for c in {a}.lower())", [[f"{f}({t!r})", sum(t.count(c) + t.count(c.upper()) for c in k)], [f"{f}('')", 0]]


@task
def run_lengths(d):
    f, a, mark = d.pick("compress", "run_length", "encode_runs", "squeeze"), arg(d), d.pick("", "x", "*")
    t = "".join(c * d.whole(1, 5) for c in d.rng.sample("abcdxyz", d.whole(3, 5)))
    out = "".join(f"{c}{mark}{len(list(g))}" for c, g in itertools.groupby(t))
    return [f"Write {f}({a}) that replaces each run of equal characters by the character{f', {mark!r}' if mark else ''} and the length of the run.", f"Run-length encoding: {f}({a}) turns 'aab' into 'a{mark}2b{mark}1'.", f"Implement {f}({a}); for 'zzzy' it returns 'z{mark}3y{mark}1'."], \
        f"def {f}({a}):\n    result, start = '', 0\n    for i in range(1, len({a}) + 1):\n        if i == len({a}) or {a}[i] != {a}[start]:\n            result += f'{{{a}[start]}}{mark}{{i - start}}'\n            start = i\n    return result", [[f"{f}({t!r})", out], [f"{f}('')", ""]]


@task
def parse_pairs(d):
    f, a, sep, eq = d.pick("parse_pairs", "read_settings", "to_dict", "parse_options"), arg(d), d.pick(";", ",", "&", "|"), d.pick("=", ":")
    ks = some(d, 3)
    vs = [d.whole(1, 99) for _ in ks]
    t = sep.join(f"{k}{eq}{v}" for k, v in zip(ks, vs))
    return [f"Write {f}({a}) that turns a text such as {t!r} into a dictionary with integer values.", f"{f}({a}) parses pairs name{eq}number separated by '{sep}' into a dict of integers.", f"Split {a} at '{sep}' and each part at '{eq}'; return a dictionary with int values: {f}({a})."], \
        f"def {f}({a}):\n    result = {{}}\n    for part in {a}.split('{sep}'):\n        name, value = part.split('{eq}')\n        result[name] = int(value)\n    return result", [[f"{f}({t!r})", dict(zip(ks, vs))]]


@task
def snake_case(d):
    f, a, mark, word = d.pick("to_snake", "convert_name", "rename", "split_camel"), d.pick("name", "identifier", "label", "word"), *d.pick(("_", "underscores"), ("-", "hyphens"), (".", "dots"))
    ks = some(d, d.whole(2, 3))
    t = ks[0] + "".join(k.capitalize() for k in ks[1:])
    return [f"Write {f}({a}) that turns a camelCase name into lower-case words joined by {word}.", f"{f}({a}) inserts '{mark}' before each inner capital and lowers everything.", f"Convert names like {t} to {mark.join(ks)} with {f}({a})."], \
        f"import re\n\n\ndef {f}({a}):\n    return re.sub(r'(?<!^)(?=[A-Z])', '{mark}', {a}).lower()", [[f"{f}({t!r})", mark.join(ks)], [f"{f}('plain')", "plain"]]


@task
def palindrome(d):
    f, a = d.pick("is_palindrome", "reads_same", "mirrors", "symmetric"), arg(d)
    half = "".join(some(d, 1))
    good = half.capitalize() + d.pick("", " ", ", ", "!") + half[::-1]
    return [f"Write {f}({a}) that checks whether the letters of a text read the same backwards, ignoring case and everything that is no letter.", f"{f}({a}) returns True for a palindrome; blanks, punctuation and case do not count.", f"Test for a palindrome by letters only: {f}({a})."], \
        f"def {f}({a}):\n    letters = [c for c in {a}.lower() if c.isalpha()]\n    return letters == letters[::-1]", [[f"{f}({good!r})", True], [f"{f}({(half + 'qz')!r})", False], [f"{f}('')", True]]


@task
def balanced(d):
    f, a, kinds = d.pick("balanced", "well_formed", "brackets_match", "closes_all"), arg(d), d.pick("()", "()[]", "[]{}", "()[]{}", "<>()")
    pairs = [kinds[i:i + 2] for i in range(0, len(kinds), 2)]
    t = ""
    for p in d.rng.choices(pairs, k=3):
        t = d.pick(p[0] + t + p[1], t + p)
    table = ", ".join(f"'{p[1]}': '{p[0]}'" for p in pairs)
    bad = t[:-1]
    return [f"Write {f}({a}) that tells whether the brackets {' '.join(pairs)} are nested properly; other characters are ignored.", f"{f}({a}) returns True if every opening bracket of {' '.join(pairs)} is closed in the right order.", f"Check the bracket structure ({' and '.join(pairs)}) of a text with a stack: {f}({a})."], \
        f"def {f}({a}):\n    partner = {{{table}}}\n    open_brackets = []\n    for c in {a}:\n        if c in partner.values():\n            open_brackets.append(c)\n        elif c in partner and (not open_brackets or open_brackets.pop() != partner[c]):\n            return False\n    return not open_brackets", \
        [[f"{f}({('x' + t + 'y')!r})", True], [f"{f}({bad!r})", False], [f"{f}({pairs[0][::-1]!r})", False]]


@task
def group_by_key(d):
    f, a, (how, expr, key) = d.pick("group", "classify", "collect", "bucket"), d.pick("names", "words", "entries", "terms"), d.pick(("their first letter", "{}[0]", lambda w: w[0]), ("their length", "len({})", len), ("their last letter", "{}[-1]", lambda w: w[-1]))
    ws = d.among(people + goods, 6)
    out = {str(key(w)): [v for v in ws if key(v) == key(w)] for w in ws}
    return [f"Write {f}({a}) that groups texts by {how} in a dictionary of lists.", f"{f}({a}) returns a dict that maps {how.replace('their', 'each')} to the list of matching texts, in order.", f"Build a dictionary of lists from {a}, keyed by {how}: {f}({a})."], \
        f"from collections import defaultdict\n\n\ndef {f}({a}):\n    groups = defaultdict(list)\n    for entry in {a}:\n        groups[{expr.format('entry')}].append(entry)\n    return dict(groups)", [[f"{f}({ws})", out], [f"{f}([])", {}]]


@task
def common_prefix(d):
    f, a, end = d.pick("common_start", "shared_prefix", "longest_prefix", "same_beginning"), d.pick("words", "names", "paths", "texts"), d.chance(0.3)
    stem = some(d, 1)[0]
    ws = [stem + x for x in d.among(["s", "ing", "box", "y", "x1", "mark", ""], 3)]
    if end:
        ws = [w[::-1] for w in ws]
    n = max(k for k in range(len(stem) + 1) if len({(w[-k:] if k else "") if end else w[:k] for w in ws}) == 1)
    longest = max((k for k in range(min(map(len, ws)) + 1) if all((w.endswith(ws[0][len(ws[0]) - k:]) if end else w.startswith(ws[0][:k])) for w in ws)), default=0)
    want = (ws[0][len(ws[0]) - longest:] if end else ws[0][:longest])
    word = "ending" if end else "beginning"
    turn = "[::-1]" if end else ""
    code = f"def {f}({a}):\n    result = ''\n    for letters in zip(*{'(w[::-1] for w in ' + a + ')' if end else a}):\n        if len(set(letters)) > 1:\n            break\n        result += letters[0]\n    return result{turn}"
    return [f"Write {f}({a}) that returns the longest {word} that all texts share.", f"{f}({a}) finds the common {word} of a list of texts; '' if there is none.", f"Determine how far the texts agree at the {word}: {f}({a}) returns that part."], code, [[f"{f}({ws})", want], [f"{f}(['abc', 'xyz'])", ""]]


@task
def invert_mapping(d):
    f, a = d.pick("invert", "swap_keys", "reverse_lookup", "by_value"), d.pick("mapping", "table", "owners", "index")
    m = {p: d.pick(*cities[:4]) for p in d.among(people, 5)}
    out = {v: sorted(k for k in m if m[k] == v) for v in m.values()}
    return [f"Write {f}({a}) that maps every value of a dictionary to the sorted list of its keys.", f"{f}({a}) turns {{key: value}} into {{value: [keys]}} with the keys in alphabetical order.", f"Invert a dictionary whose values may repeat: {f}({a}). Sort the lists."], \
        f"def {f}({a}):\n    result = {{}}\n    for key in sorted({a}):\n        result.setdefault({a}[key], []).append(key)\n    return result", [[f"{f}({m})", out], [f"{f}({{}})", {}]]


@task
def merge_counts(d):
    f, a, b = d.pick("merge_counts", "add_stock", "combine", "sum_dicts"), *d.pick(("left", "right"), ("a", "b"), ("first", "second"), ("stock", "delivery"))
    x, y = ({g: d.whole(1, 20) for g in d.among(goods[:8], 3)} for _ in range(2))
    return [f"Write {f}({a}, {b}) that adds two dictionaries of numbers key by key.", f"{f}({a}, {b}) returns a new dict with the sums; a key that is in one only keeps its number.", f"Combine two tallies, {a} and {b}, into one dictionary of totals: {f}({a}, {b})."], \
        f"def {f}({a}, {b}):\n    result = dict({a})\n    for key, value in {b}.items():\n        result[key] = result.get(key, 0) + value\n    return result", [[f"{f}({x}, {y})", {k: sum(m[k] for m in (x, y) if k in m) for k in {**x, **y}}], [f"{f}({{}}, {{}})", {}]]


@task
def find_codes(d):
    f, a, letters, digits = d.pick("find_codes", "extract_ids", "codes_in", "references"), arg(d), d.whole(1, 3), d.whole(2, 4)
    made = ["".join(d.rng.choice(string.ascii_uppercase) for _ in range(letters)) + "-" + "".join(d.rng.choice(string.digits) for _ in range(digits)) for _ in range(2)]
    t = f"See {made[0]} and also {made[1]}, not 12-{made[0][0]}."
    word = "letter" if letters == 1 else "letters"
    return [f"Write {f}({a}) that finds all codes made of {letters} capital {word}, a hyphen and {digits} digits.", f"Use a regular expression: {f}({a}) lists codes like {made[0]} ({letters} capital {word}, '-', {digits} digits).", f"{f}({a}) returns every code of the form {'A' * letters}-{'9' * digits} in the text, in order."], \
        f"import re\n\n\ndef {f}({a}):\n    return re.findall(r'\\b[A-Z]{{{letters}}}-\\d{{{digits}}}\\b', {a})", [[f"{f}({t!r})", made], [f"{f}('none')", []]]


@task
def word_lengths(d):
    f, a, (word, expr, g) = d.pick("lengths", "measure", "profile", "describe_words"), arg(d), d.pick(("its length", "len(word)", len), ("its number of vowels", "sum(c in 'aeiou' for c in word)", lambda w: len(re.findall("[aeiou]", w))), ("its last letter", "word[-1]", lambda w: w[-1]), ("its reverse", "word[::-1]", lambda w: "".join(reversed(w))))
    ws = some(d)
    return [f"Write {f}({a}) that maps each word of a text to {word}.", f"{f}({a}) returns a dictionary from every word to {word}; words are separated by blanks.", f"Use a dict comprehension: {f}({a}) gives, for each word, {word}."], \
        f"def {f}({a}):\n    return {{word: {expr} for word in {a}.split()}}", [[f"{f}({' '.join(ws)!r})", {w: g(w) for w in ws}], [f"{f}('')", {}]]


@task
def mask_end(d):
    f, a, k, c = d.pick("mask", "hide", "conceal", "redact"), d.pick("number", "card", "iban", "secret", "code"), d.whole(2, 5), d.pick("*", "x", "#")
    t = "".join(d.rng.choice(string.digits) for _ in range(d.whole(8, 16)))
    return [f"Write {f}({a}) that replaces all but the last {k} characters by '{c}'.", f"{f}({a}) keeps the final {k} characters of a text and masks the others with '{c}'; shorter texts stay.", f"Hide a number except for its last {k} places, using '{c}': {f}({a})."], \
        f"def {f}({a}):\n    hidden = max(len({a}) - {k}, 0)\n    return '{c}' * hidden + {a}[hidden:]", [[f"{f}({t!r})", "".join(c if i < len(t) - k else x for i, x in enumerate(t))], [f"{f}('7')", "7"]]
