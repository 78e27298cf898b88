"""Finance samples: a problem drawn, worded as one of its templates, solved in steps whose figures the program computed."""
import re

from . import finance_accounting, finance_credit, finance_investment, finance_stock, verify_finance, verify_numbers
from .draw import Draw
from .template import Unlucky

families = finance_investment.problems | finance_credit.problems | finance_accounting.problems | finance_stock.problems
closings = ["", "", "", " Show the steps.", " Explain each step.", " Give the working.", " Write down the solution step by step.", " Show how you get there."]


def sample(seed, kind, serial):
    d = Draw(seed, "finance", kind, serial)
    try:
        made = families[kind](d)
    except Unlucky:
        return None
    if not made:
        return None
    which = d.rng.randrange(len(made["words"]))
    facts, ask = made["words"][which]
    facts = facts[0].upper() + facts[1:]
    ask += d.pick(*closings)
    # The figures stand in the input, or the whole task in the instruction: both forms are common in such data.
    instruction, source = (ask, facts) if d.chance(0.4) else (f"{facts} {ask}", "")
    output = "\n".join(f"Step {i}. {s}." for i, s in enumerate(made["steps"], 1)) + f"\nAnswer: {made['answer']}."
    return {"category": "finance", "template": f"finance.{kind}.{which + 1}", "kind": kind, "instruction": instruction, "input": source,
            "output": output, "check": {"given": made["given"]}}


def errors_of(row):
    """What is wrong with one finance sample, and how many equations were evaluated."""
    if row["kind"] not in verify_finance.expected:
        return [f"unknown problem {row['kind']!r}"], 0
    source = row["instruction"] + " " + row["input"]
    errors, count = verify_numbers.check(source, row["output"])
    if not count:
        errors.append("no equation found")
    given = row["check"]["given"]
    stated = {round(v, 12) for v, _ in verify_numbers.figures(source)}
    for name, value in given.items():
        for v in value if isinstance(value, list) else [value]:
            if round(abs(float(v)), 12) not in stated and not (name in ("t", "b", "a") and v <= 3):
                errors.append(f"given {name} = {v} is not in the question")
    want = verify_finance.expected[row["kind"]](**given)
    line = row["output"].rsplit("\n", 1)[-1]
    found = verify_numbers.figures(line)
    if not line.startswith("Answer: ") or not found:
        errors.append(f"no answer line: {line!r}")
    else:
        value, half = found[-1]
        # The sign stands before the currency, or in words ("The variance is -$1,200.00").
        if re.search(r"\s-(?:[A-Z]{3} |[$€£])?\d", line):
            value = -value
        # Rounding up is exact; everything else may be off by half a unit of the last digit.
        if abs(value - want) > half * (1 + 1e-6) + 1e-9 * abs(want) + verify_finance.slack.get(row["kind"], 0.0):
            errors.append(f"the answer is {value:g}, an independent formula gives {want:.10g}")
    return errors, count
