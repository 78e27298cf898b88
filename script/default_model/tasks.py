"""Problems with computed answers in the model's prompt: finance in steps, SQL and Python as code (script/training makes and checks them)."""
import pathlib, re, sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from training import finance, python_tasks, sql   # noqa: E402
from training.draw import Draw
from training.template import Unlucky


def tables(setup):
    """name(column, …) of every table that a script creates."""
    out = []
    for name, body in re.findall(r"CREATE TABLE (\w+) \((.*?)\);", setup, re.S):
        columns = [c.split()[0] for c in re.split(r",\s*(?![^()]*\))", body.strip()) if c.split()[0] not in ("PRIMARY", "FOREIGN", "UNIQUE", "CHECK")]
        out.append(f"{name}({', '.join(columns)})")
    return out


def sql_task(rng, seed):
    kind = rng.choice(list(sql.families))
    d = Draw(seed, "sql", kind, rng.randrange(10 ** 9))
    words, setup, query, rows = sql.families[kind](d)
    if not rows:
        return None
    ask, known = rng.choice(words), tables(setup)
    if known:
        lower = ask[0].lower() + ask[1:] if not re.match(r"[A-Z]{2}", ask) else ask
        listed = " and ".join(known)
        plural = "s" if len(known) > 1 else ""
        ask = rng.choice([f"Given {listed}, {lower}", f"Table{plural} {listed}: {lower}", f"In {listed}, {lower}", f"For {listed}: {lower}", f"{ask} Table{plural}: {listed}.",
                          f"I have the table{plural} {listed}. {ask}", f"With {listed}: {lower}", f"{ask[:-1] if ask.endswith('.') else ask} for {listed}."])
    # What a query needs stands in the question; the data of the generator's database do not.
    query = query.strip()
    return ask, f"```sql\n{query}{'' if query.endswith(';') else ';'}\n```"


def python_task(rng, seed):
    kind = rng.choice(list(python_tasks.families))
    d = Draw(seed, "python", kind, rng.randrange(10 ** 9))
    words, code, _, *_ = python_tasks.families[kind](d)
    return d.pick(*python_tasks.lead) + rng.choice(words), f"```python\n{code}\n```"


def finance_task(rng, seed):
    kind = rng.choice(list(finance.families))
    d = Draw(seed, "finance", kind, rng.randrange(10 ** 9))
    made = finance.families[kind](d)
    if not made:
        return None
    facts, ask = rng.choice(made["words"])
    answer = " ".join(f"{s}." for s in made["steps"]) + f" Answer: {made['answer']}."
    return f"{facts[0].upper() + facts[1:]} {ask}", answer


def draw(rng, seed):
    """(question, answer, kind)"""
    while True:
        make, kind = rng.choice([(sql_task, "sql")] * 4 + [(python_task, "python")] * 4 + [(finance_task, "finance")])
        try:
            made = make(rng, seed)
        except Unlucky:
            continue
        if made:
            return *made, kind
