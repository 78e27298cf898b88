"""Python samples: a task, the function or class that solves it, and tests whose expectations were computed by other means."""
import re

from . import execute, python_lists, python_objects, python_text
from .draw import Draw
from .template import Unlucky

families = python_lists.tasks | python_text.tasks | python_objects.tasks
lead = ["", "", "", "Python: ", "In Python: ", "Python task. ", "Standard library only. ", "Exercise: "]


def plain(value):
    """As JSON will hold it: tuples become lists, keys become texts."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    return [plain(v) for v in value] if isinstance(value, (list, tuple)) else value


def sample(seed, kind, serial):
    d = Draw(seed, "python", kind, serial)
    try:
        words, code, tests, *helper = families[kind](d)
    except Unlucky:
        return None
    which = d.rng.randrange(len(words))
    ask, source = d.pick(*lead) + words[which], ""
    expression, expected = tests[0]
    if d.chance(0.6) and not helper and "lambda" not in expression and len(expression) + len(repr(expected)) < 160:
        example = f"{expression} → {expected!r}"
        if d.chance(0.5):
            source = f"Example: {example}"
        else:
            ask += f" Example: {example}"
    check = {"tests": [[e, plain(v)] for e, v in tests]}
    if helper:
        check["helper"] = helper[0]
    return {"category": "python", "template": f"python.{kind}.{which + 1}", "kind": kind, "instruction": ask, "input": source,
            "output": f"```python\n{code}\n```", "check": check}


def errors_of(rows):
    """One list of errors for each row; all of them run in a few child processes."""
    jobs, results = [], {}
    for index, row in enumerate(rows):
        match = re.search(r"```python\n(.*?)\n```", row["output"], re.S)
        if match and row["check"].get("tests"):
            jobs.append((index, {"code": match[1], "tests": row["check"]["tests"], "helper": row["check"].get("helper", "")}))
        else:
            results[index] = ["no python block or no tests"]
    for (index, _), error in zip(jobs, execute.run_python([job for _, job in jobs])):
        results[index] = [error] if error else []
    return [results[i] for i in range(len(rows))]
