"""Programs asked for by what they are given: a statement or function of a handbook page, under other names than the page uses.

The passage shows `payment(day, amount)`, the question speaks of `harvest(week, tonnes)`, and the answer is the page's query in the question's names.
"""
import ast, builtins, re, sqlite3

import questions, tasks

nouns = """harvest ticket parcel shift permit pupil ferry garden invoice2 sensor ward lesson trip cargo recipe pitch tenant depot claim vessel ballot quota batch
locker visitor kennel studio court canal orchard museum hostel parcel2 stable refund survey voucher crew hangar""".replace("2", "").split()
columns = """label region week tonnes score price2 owner kind stage level hours title branch colour weight height year rank points share begin finish mark
place size rate grade total2 note text day month amount2 code2 person2 town""".replace("2", "").split()
arguments = "rows items values data records entries things parts numbers words pieces source given text key limit size count start step width".split()


def statements(script):
    out, current = [], ""
    for line in script.split("\n"):
        current += line + "\n"
        if sqlite3.complete_statement(current):
            out.append(current.strip()); current = ""
    return out


def rename(text, names):
    return re.sub(r"\b[A-Za-z_]\w*\b", lambda m: names.get(m[0], m[0]), text)


def sql(page, code, rng):
    """(question, answer) on one statement of a script, or None."""
    parts = statements(code.strip("`").removeprefix("sql").strip())
    wanted = [s for s in parts if re.match(r"(SELECT|WITH|DELETE|UPDATE)\b", re.sub(r"--.*\n", "", s).strip())]
    known = tasks.tables("\n".join(parts))
    if not wanted or not known:
        return None
    statement = rng.choice(wanted[-2:])
    used = [t for t in known if re.search(rf"\b{t.split('(')[0]}\b", statement)]
    if not used or len(statement) > 700:
        return None
    listed, title = " and ".join(used), questions.lower_first(page.title)
    m = re.search(r"SELECT\s+(?:DISTINCT\s+)?(.*?)\s+FROM\b", statement, re.S)
    shown = []
    for c in re.split(r",\s*(?![^()]*\))", m[1] if m else ""):
        alias = re.search(r"\bAS (\w+)$", c.strip())
        plain = re.fullmatch(r"(?:\w+\.)?(\w+)", c.strip())
        shown.append(alias[1] if alias else plain[1] if plain else None)
    order = re.findall(r"ORDER BY ([\w.]+)(?: (DESC))?;?\s*$", statement)
    goal = f"show {', '.join(shown[:-1]) + ' and ' + shown[-1] if len(shown) > 1 else shown[0]}" if shown and all(shown) and len(set(shown)) == len(shown) else rng.choice(["write the query", "write the statement", "give me the SQL"])
    goal += rng.choice([f" with {title}", f" by means of {title}", f"; it is about {title}", f" ({title})"])
    if order:
        goal += rng.choice([", ordered by ", ", sorted by ", ", in the order of "]) + order[0][0].split(".")[-1] + (" from the largest down" if order[0][1] else "")
    ask = rng.choice([f"Given {listed}, {goal}.", f"Table{'s' if len(used) > 1 else ''} {listed}: {goal}.", f"In {listed}, {goal}.", f"For {listed}, {goal}.", f"I have {listed}. Please {goal}."])
    names, free, fields = {}, rng.sample(nouns, len(nouns)), rng.sample(columns, len(columns))
    if rng.random() < 0.7:
        for t in used:
            name, inner = t.rstrip(")").split("(")
            names.setdefault(name, free.pop())
            for c in inner.split(", "):
                if c != "id" and rng.random() < 0.6:
                    names.setdefault(c, names.get(c.removesuffix("_id"), fields.pop() if fields else c) + "_id" if c.endswith("_id") else fields.pop() if fields else c)
    if set(names.values()) & set(re.findall(r"\w+", statement)):
        names = {}
    return rename(ask, names), f"```sql\n{rename(statement, names)}\n```", names


def python(page, code, rng):
    """(question, answer) on one function or class of a block with the imports it needs, or None."""
    source = code.strip("`").removeprefix("python").strip()
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return None
    lines = source.split("\n")
    found = [n for n in tree.body if isinstance(n, (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef))]
    if not found:
        return None
    node = rng.choice(found)
    top = min([node.lineno] + [d.lineno for d in node.decorator_list])
    own = "\n".join(lines[top - 1:node.end_lineno])
    used = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
    # What the page defines elsewhere would be missing.
    if used & ({n.name for n in found if n is not node} | {t.id for n in tree.body if isinstance(n, ast.Assign) for t in n.targets if isinstance(t, ast.Name)}):
        return None
    imports = [lines[n.lineno - 1] for n in tree.body if isinstance(n, (ast.Import, ast.ImportFrom)) and {(a.asname or a.name).split(".")[0] for a in n.names} & used]
    answer = "\n".join(imports) + ("\n\n" if imports else "") + own
    if len(answer) > 900:
        return None
    args = [a.arg for a in node.args.args if a.arg != "self"] if not isinstance(node, ast.ClassDef) else \
           next(([a.arg for a in n.args.args if a.arg != "self"] for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"), [])
    said = [s for s in page.sentences if re.search(rf"`{node.name}(?:\([^`]*\))?`", s)] or [s for s in page.sentences if re.search(rf"\b{node.name}\b", s)]
    m = re.search(rf"`?{node.name}(?:\([^`]*\))?`? (\w+s .*)", said[0]) if said else None
    title = questions.lower_first(page.title)
    call = f"{node.name}({', '.join(args)})" if args or not isinstance(node, ast.ClassDef) else node.name
    kind = "class" if isinstance(node, ast.ClassDef) else "function"
    does = f" that {m[1].rstrip('.')}" if m else rng.choice([f" that shows {title}", f", an example of {title}", f" with {title}", f" for {title}"])
    ask = rng.choice([f"Write a {kind} {call}{does}.", f"Write {call}{does}.", f"I need a {kind} {call}{does}.", f"Define {call}{does}.", f"Give me a {kind} {call}{does}."])
    names, free = {}, rng.sample(arguments, len(arguments))
    if rng.random() < 0.6:
        for a in args:
            if rng.random() < 0.6 and len(a) > 1:
                names[a] = free.pop()
    if set(names.values()) & set(re.findall(r"\w+", answer)) or any(hasattr(builtins, v) for v in names.values()):
        names = {}
    return rename(ask, names), f"```python\n{rename(answer, names)}\n```", names
