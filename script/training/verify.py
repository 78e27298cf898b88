"""Checks samples from their text alone: answers found in contexts, equations evaluated, code run."""
from . import finance, python_tasks, sql, verify_general


def errors_of(rows):
    """(one list of errors for each row, equations evaluated)."""
    results, equations = [[] for _ in rows], 0
    for index, row in enumerate(rows):
        try:
            if row["category"] == "general":
                results[index] = verify_general.errors_of(row)
            elif row["category"] == "finance":
                results[index], count = finance.errors_of(row)
                equations += count
            elif row["category"] == "sql":
                results[index] = sql.errors_of(row)
        except (KeyError, TypeError, ValueError, IndexError) as error:   # a damaged `check`
            results[index] = [f"cannot be checked ({type(error).__name__}: {error})"]
    code = [i for i, row in enumerate(rows) if row["category"] == "python"]
    for index, errors in zip(code, python_tasks.errors_of([rows[i] for i in code])):
        results[index] = errors
    return results, equations
