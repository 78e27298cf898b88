"""SQL samples: a task over a small invented database, the query that solves it, and the rows it must return."""
import re

from . import execute, sql_change, sql_joined, sql_single
from .draw import Draw
from .template import Unlucky

families = sql_single.tasks | sql_joined.tasks | sql_change.tasks
lead = ["", "", "", "SQLite: ", "In SQL: ", "Write a query. ", "Task: ", "Given the tables below. ", "With SQLite: "]


def sample(seed, kind, serial):
    d = Draw(seed, "sql", kind, serial)
    try:
        words, setup, query, rows = families[kind](d)
    except Unlucky:
        return None
    if not rows:
        return None
    which = d.rng.randrange(len(words))
    ask = words[which]
    if setup:
        ask = d.pick(*lead) + ask
    output = f"```sql\n{query}\n```"
    if d.chance(0.3):
        shown = "\n".join("|".join("NULL" if v is None else str(v) for v in r) for r in rows)
        output += f"\nResult:\n```\n{shown}\n```"
    return {"category": "sql", "template": f"sql.{kind}.{which + 1}", "kind": kind, "instruction": ask, "input": setup, "output": output,
            "check": {"expected": [list(r) for r in rows]}}


def errors_of(row):
    """Runs the query of the output on the data of the input and compares with the expectation and with the rows that are shown."""
    blocks = re.findall(r"```(\w*)\n(.*?)\n```", row["output"], re.S)
    if not blocks or blocks[0][0] != "sql":
        return ["no sql block"]
    try:
        found = execute.run_sql(row["input"] + "\n" + blocks[0][1])
    except Exception as error:   # sqlite3 raises Warning and ValueError too
        return [f"{type(error).__name__}: {error}"]
    expected = row["check"]["expected"]
    errors = [] if execute.same_rows(found, expected) else [f"expected {expected}, found {found}"]
    if len(blocks) > 1:
        shown = ["NULL" if v is None else str(v) for r in expected for v in r]
        if [v for l in blocks[1][1].split("\n") for v in l.split("|")] != shown:
            errors.append("the rows shown are not the result")
    return errors
