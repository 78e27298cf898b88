"""Evaluates every equation in a text again and finds numbers that come from nowhere.

Tolerances are derived, not tuned: a result may be off by half a unit of its last digit plus what the rounding of the figures it was computed
from can move it, which is measured by moving each of those figures by half a unit of its own last digit.
"""
import ast, math, re

literal = r"\d[\d,]*(?:\.\d+)?%?"
# A run of arithmetic: figures, operators, parentheses and the four functions. Commas only occur inside figures.
arithmetic = re.compile(r"(?:(?:sqrt|ln|exp)(?=\()|" + literal + r"|[-+*/^()=]| (?! ))+")
label = re.compile(r"\b(?:Step|Year|Month|year|month|order|years|Compound|periods?) \d+\b")
# Constants of the trade that need no source: parts, months, quarters, a percent, days.
constants = {0.0, 0.01, 1.0, 2.0, 3.0, 4.0, 12.0, 100.0, 360.0, 365.0}
functions = {"sqrt": math.sqrt, "ln": math.log, "exp": math.exp}
operations = {ast.Add: lambda a, b: a + b, ast.Sub: lambda a, b: a - b, ast.Mult: lambda a, b: a * b, ast.Div: lambda a, b: a / b,
              ast.Pow: lambda a, b: a ** b}


def value_of(text):
    """(value, half a unit of its last digit) of one written figure."""
    share = 100 if text.endswith("%") else 1
    plain = text.rstrip("%").replace(",", "")
    return float(plain) / share, 0.5 * 10.0 ** -len(plain.partition(".")[2]) / share


def figures(text):
    return [value_of(f) for f in re.findall(literal, text)]


def evaluate(text, moved=-1, by=0.0):
    """Value of an arithmetic text, figure number `moved` changed by `by`; ValueError if it is no arithmetic."""
    count = -1

    def plain(match):
        nonlocal count
        count += 1
        return repr(value_of(match[0])[0] + (by if count == moved else 0.0))

    def walk(node):
        if isinstance(node, ast.Expression):
            return walk(node.body)
        if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
            return float(node.value)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
            return -walk(node.operand) if isinstance(node.op, ast.USub) else walk(node.operand)
        if isinstance(node, ast.BinOp) and type(node.op) in operations:
            return operations[type(node.op)](walk(node.left), walk(node.right))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in functions and len(node.args) == 1:
            return functions[node.func.id](walk(node.args[0]))
        raise ValueError(f"no arithmetic: {text!r}")
    try:
        result = walk(ast.parse(re.sub(literal, plain, text).strip().replace("^", "**"), mode="eval"))
    except (SyntaxError, ZeroDivisionError, OverflowError, TypeError) as error:
        raise ValueError(f"{text.strip()!r}: {error}") from None
    if not isinstance(result, float):
        raise ValueError(f"{text.strip()!r} is not a real number")
    return result


def same(a, b):
    return abs(a - b) <= 1e-9 * max(1.0, abs(a), abs(b))


def check(source, output):
    """(errors, equations checked): source is the text whose figures count as given and exact."""
    known = {v: 0.0 for v, _ in figures(source)}   # value → how far the true value may be away
    known |= {c: 0.0 for c in constants}
    errors, count = [], 0

    def slack(value):
        return next((s for v, s in known.items() if same(v, value)), None)

    for line in output.split("\n"):
        line = re.sub(r"^Step \d+\. ", "", line)
        for introduced in re.findall(rf"Try ({literal}):", line):
            known.setdefault(value_of(introduced)[0], 0.0)
        for counted in re.findall(r"\b(?:Year|Month) (\d+)\b", line):
            known.setdefault(float(counted), 0.0)
        words = line
        for match in arithmetic.finditer(line):
            text = match[0]
            sides = [s.strip() for s in text.split("=")]
            sides = [s for s in sides if re.search(r"\d", s)]
            if "=" not in text or len(sides) < 2:
                continue
            words = words.replace(text, " ", 1)
            left, right = sides[0], sides[-1]
            if len(sides) > 2 or not re.fullmatch(rf"-?{literal}", right):
                errors.append(f"not of the form 'expression = figure': {text.strip()!r}")
                continue
            try:
                found, tolerance = evaluate(left), 1e-12
                for number, (v, half) in enumerate(figures(left)):
                    own = slack(v)
                    exponent = v == int(v) and abs(v) <= 400 and re.search(rf"\^-?{int(v)}\b", left)
                    if own is None and not exponent:
                        errors.append(f"{v:g} comes from nowhere in {text.strip()!r}")
                    if own:
                        tolerance += abs(evaluate(left, number, own) - found)
            except ValueError as error:
                errors.append(str(error))
                continue
            stated, half = value_of(right.lstrip("-"))
            stated = -stated if right.startswith("-") else stated
            count += 1
            if abs(found - stated) > half * (1 + 1e-9) + tolerance + 1e-9 * abs(found):
                errors.append(f"{text.strip()!r}: the left side is {found:.10g}")
            known[abs(stated)] = 0.0 if same(found, stated) and tolerance <= 1e-11 else half + tolerance
        for rounded in re.findall(rf"rounded up to ({literal})", line):
            before = [v for v, _ in figures(line.split(", rounded up")[0])]
            if not before or value_of(rounded)[0] != math.ceil(before[-1]):
                errors.append(f"rounded up to {rounded} from {before[-1:]}")
            known[value_of(rounded)[0]] = 0.0
        rest = label.sub("", words)
        for v, half in figures(rest):
            # A figure may be repeated with fewer digits than it was computed with.
            if slack(v) is None and not any(abs(v - k) <= half + s for k, s in known.items()):
                errors.append(f"{v:g} comes from nowhere in {line!r}")
    return errors, count
