#!/usr/bin/env python3
"""Checks what the default model is trained on: hand-written questions and the samples made of the handbook.

Run from anywhere:  python3 tests/data/default_model_check.py [--count 400]
No question of examples/data/questions.jsonl may be asked, every written answer must stand where its row says, and a sample's
answer must be found in the passage that it cites. Standard library only. Exit status 1 if anything failed.
"""
import argparse, json, pathlib, random, re, sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "script/default_model"))
import handbook, samples, short  # noqa: E402

FOLDER = ROOT / "script/default_model"
COMMON = {"a", "an", "the", "no", "yes", "not", "to", "of", "it", "is", "or", "and", "because"}
failures = []


def fail(where, message):
    failures.append(f"{where}: {message}")


def words(text):
    return re.findall(r"[a-z0-9_]+", text.lower().replace("`", ""))


def rows_check(book):
    """Rows of short.jsonl and elsewhere.txt: where their answers stand, and that the benchmark is not asked."""
    seen = set()
    for number, line in enumerate((FOLDER / "short.jsonl").read_text().splitlines(), 1):
        row, where = json.loads(line), f"short.jsonl:{number}"
        sentence = book.locate(row["d"], row["a"])
        if sentence is None:
            fail(where, f"{row['d']} holds no sentence that begins {row['a']!r}")
            continue
        own = set(words(sentence)) | COMMON
        given = words(row["s"])
        if sum(w in own for w in given) < 0.6 * len(given):
            fail(where, f"the answer {row['s']!r} is not in {sentence!r}")
        if book.forbidden(row["q"]):
            fail(where, f"asks what the benchmark asks: {row['q']!r}")
        if (row["d"], row["q"]) in seen:
            fail(where, f"asked twice: {row['q']!r}")
        seen.add((row["d"], row["q"]))
    asked = (FOLDER / "elsewhere.txt").read_text().splitlines()
    if len(asked) != len(set(asked)):
        fail("elsewhere.txt", "a question stands there twice")
    return len(seen) + len(asked)


def samples_check(book, count):
    """What samples say is in the passage that they cite; none asks a question of the benchmark."""
    adapted = 0
    for _ in range(count):
        made = book.sample(3)
        if not made:
            fail("sample", "no sample in twenty tries")
            continue
        context, turns, _ = made
        for q, a in turns:
            m = re.match(r"(?s)(.*?)[ \n]\[(\d+)\]$", a)
            if not m or not 1 <= int(m[2]) <= len(context):
                fail("sample", f"no citation of a passage: {a!r}")
                continue
            if book.forbidden(q):
                fail("sample", f"asks what the benchmark asks: {q!r}")
            text = context[int(m[2]) - 1][1]
            if m[1] in text:
                continue
            # A program is given other names.
            adapted += 1
            if not m[1].startswith("```"):
                fail("sample", f"{m[1]!r} is not in the passage cited for {q!r}")
    return adapted


def rules_check():
    """short.derive on sentences of every kind that its rules know, and on some that must stay whole."""
    for question, sentence, wanted in (
            ("Why is depreciation added back?", "Depreciation is added back because no money left the company.", "because no money left the company"),
            ("How large is the beta?", "The beta of the share is 9.70 / 6.70, which is 1.45.", "1.45"),
            ("Which module keeps a heap?", "The standard module `heapq` maintains a heap inside an ordinary list.", "`heapq`"),
            ("What is the extra return called?", "The difference r_m - r_f is called the market risk premium.", "the market risk premium"),
            ("When are access rights reviewed?", "Access rights are reviewed when employees change jobs.", "when employees change jobs"),
            ("How many NULLs does SQL Server allow?", "SQL Server is the exception and allows only one NULL, and PostgreSQL 15 offers `NULLS NOT DISTINCT`.", None),
            ("How is NPV calculated?", "The NPV is the sum of all cash flows, each divided by a power of one plus the rate, less 5 for the start.", None),
            ("What is a deque?", "A deque is a double-ended queue from the module `collections`, in which items are added at both ends.", None)):
        if (found := short.derive(question, sentence)) != wanted:
            fail("short.derive", f"{question!r}: expected {wanted!r}, found {found!r}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=400, help="samples")
    options = parser.parse_args()
    book = handbook.Handbook(random.Random(7))
    benchmark = [json.loads(line)["question"] for line in (ROOT / "examples/data/questions.jsonl").read_text().splitlines()]
    for q in benchmark:
        if not book.forbidden(q):
            fail("guard", f"a question of the benchmark passes: {q!r}")
    rules_check()
    rows = rows_check(book)
    adapted = samples_check(book, options.count)
    if not adapted or samples.refusal == samples.ignorance:
        fail("samples", "expected some programs under other names")
    for f in failures[:40]:
        print(f)
    print(f"{rows} written rows, {options.count} samples of which {adapted} answers are programs under other names; {len(failures)} failures")
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
