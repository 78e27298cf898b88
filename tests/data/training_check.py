#!/usr/bin/env python3
"""Checks the training data that script/training_data generates, and the samples of it in examples/data/training.

Run from anywhere:  python3 tests/data/training_check.py [--count 600] [--full FOLDER]
By default it generates a small set anew, twice, and checks that; --full checks a whole generated set instead (after
script/training_data: .cache/training).  Standard library only.  Exit status 1 if anything failed.
"""

import argparse
import collections
import copy
import json
import math
import os
import pathlib
import random
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "script"))

from training import dedup, documentation, execute, intents, overlap, python_tasks, verify, write  # noqa: E402

DATA = ROOT / "examples" / "data"
COMMITTED = DATA / "training"
COMMAND = ROOT / "script" / "training_data"
RUN, CONTEXT_RUN = 8, 13  # words in a row that a question may not share with training text, with contexts
MIN_TEMPLATES = {"finance": 40, "sql": 40, "python": 40}

failures = []
counts = collections.Counter()


def fail(where, message):
    failures.append(f"{where}: {message}")


def expect(condition, where, message):
    counts["assertions"] += 1
    if not condition:
        fail(where, message)


# ---------------------------------------------------------------- overlap with the questions


def plain_words(text):
    return re.findall(r"[a-z0-9]+", text.lower())


def read_questions():
    questions = []
    for file in sorted(DATA.glob("*questions*.jsonl")):
        for line in file.read_text(encoding="utf-8").splitlines():
            questions.append(json.loads(line)["question"])
    return questions


def overlaps(rows, questions):
    """[(id, part, question)]: this program's own search, not that of the generator. A question shorter than a run counts as a whole."""
    wanted = {}
    for part, length in (("said", RUN), ("context", CONTEXT_RUN)):
        for question in questions:
            words = plain_words(question)
            size = min(length, len(words))
            for i in range(len(words) - size + 1):
                wanted.setdefault((part, size), {})[" ".join(words[i:i + size])] = question
    found = []
    for row in rows:
        context, _, question = row["input"].partition("\n\nQuestion: ")
        parts = [("said", row["instruction"]), ("said", question), ("said", row["output"]), ("context", context)]
        for part, text in parts:
            words = plain_words(text)
            for (which, size), table in wanted.items():
                if which == part:
                    for i in range(len(words) - size + 1):
                        hit = table.get(" ".join(words[i:i + size]))
                        if hit:
                            found.append((row.get("id", "?"), part, hit))
                            break
    return found


def check_overlap_is_seen(rows, questions):
    """A planted question must be seen in each place, or the proof proves nothing; the generator's guard must refuse it too."""
    guard = overlap.Guard.read(DATA)
    for number, question in enumerate(random.Random(7).sample(questions, min(25, len(questions)))):
        for place in ("instruction", "output", "input", "question"):
            row = copy.deepcopy(rows[number % len(rows)])
            if place == "question":
                row["input"] = f"Some text.\n\nQuestion: {question.upper()}"
            else:
                row[place] = f"{row[place].partition(chr(10) * 2 + 'Question: ')[0]} {question} Thanks."
            expect(overlaps([row], questions), "self-test", f"a question planted in the {place} was not seen: {question!r}")
            expect(guard.finds(row), "self-test", f"the generator accepts a question planted in the {place}: {question!r}")


# ---------------------------------------------------------------- the checks must be able to fail


def check_wrong_figures_are_seen(rows):
    """One digit of a computed figure is changed in each finance sample."""
    rng, tried, seen = random.Random(5), 0, 0
    for row in [r for r in rows if r["category"] == "finance"]:
        places = [m for m in re.finditer(r"(?<== )-?[\d,.]*\d(?=[%;.]|\n)", row["output"])]
        if not places:
            continue
        m = rng.choice(places)
        at = rng.choice([i for i in range(m.start(), m.end()) if row["output"][i].isdigit()])
        digit = str((int(row["output"][at]) + rng.randrange(2, 9)) % 10)
        if at == m.start() and digit == "0":
            digit = "9" if row["output"][at] not in "89" else "5"
        wrong = copy.deepcopy(row)
        wrong["output"] = row["output"][:at] + digit + row["output"][at + 1:]
        tried += 1
        seen += bool(verify.errors_of([wrong])[0][0])
    counts["wrong figures planted"], counts["wrong figures seen"] = tried, seen
    # What stays unseen is a last digit within the rounding of the figures it was computed from.
    expect(tried and seen >= 0.97 * tried, "self-test", f"only {seen} of {tried} wrong figures were seen")


def check_wrong_code_is_seen(rows):
    for row in [r for r in rows if r["category"] == "sql"][:40]:
        wrong = copy.deepcopy(row)
        wrong["check"]["expected"][0][0] = "something else"
        expect(verify.errors_of([wrong])[0][0], row["id"], "a wrong expectation passed")
        wrong = copy.deepcopy(row)
        wrong["output"] = row["output"].replace("SELECT", "SELEKT", 1)
        expect(verify.errors_of([wrong])[0][0] or "SELECT" not in row["output"], row["id"], "broken SQL passed")
    code = [copy.deepcopy(r) for r in rows if r["category"] == "python"][:40]
    for row in code:
        row["output"] = re.sub(r"(def|class) (\w+)", r"\1 \2_", row["output"], count=1)
    results = python_tasks.errors_of(code)
    for row, errors in zip(code, results):
        expect(errors, row["id"], "code without the asked name passed")


def check_sandbox():
    """Code that loops, fills memory, writes files, exits or prints is reported, and its neighbours are not lost."""
    good = {"code": "def f():\n    print('x')\n    return 1", "tests": [["f()", 1]]}
    bad = ["while True: pass", "x = bytearray(4 << 30)", "open('x', 'w').write('y' * 9)", "import os\nos._exit(0)", "def f(): return 2", "def f(: 1", "raise SystemExit"]
    jobs = [j for b in bad for j in (good, {"code": b, "tests": [["f()", 1]]})] + [good]
    results = execute.run_python(jobs)
    for job, error in zip(jobs, results):
        expect((error is None) == (job is good), "sandbox", f"{job['code']!r}: {error}")
    for query in ("ATTACH 'x.db' AS x;", "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT count(*) FROM t;"):
        try:
            execute.run_sql(query)
            fail("sandbox", f"{query!r} was allowed")
        except Exception:  # sqlite3 names several
            counts["assertions"] += 1


def check_malformed_lines(rows):
    """Each kind of bad line is reported with its number, and the good ones around it are read."""
    good = [json.dumps(dict(rows[0], id=f"x{i}")) for i in range(3)]
    bad = ["{", "[]", json.dumps(dict(rows[0], output="")), json.dumps(dict(rows[0], id="x0")), json.dumps(dict(rows[0], category="poems")), json.dumps(dict(rows[0], input=5)),
           json.dumps({k: v for k, v in rows[0].items() if k != "kind"}), json.dumps(dict(rows[0], more=1)), json.dumps(dict(rows[0], template="a.b.c"))]
    lines = good[:2] + bad + good[2:]
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "t.jsonl"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        read, complaints = write.read(path, write.sample_form)
        numbers = [int(c.split(":")[1]) for c in complaints]
        expect(len(read) == 3 and numbers == list(range(3, 3 + len(bad))), "malformed lines", f"read {len(read)}, complained about lines {numbers}")
        path.write_text("", encoding="utf-8")
        expect(write.read(path, write.sample_form)[1], "malformed lines", "an empty set is not reported")


def check_duplicates_are_found():
    """The prefix filter against all pairs."""
    rng = random.Random(3)
    vocabulary = [f"w{i}" for i in range(40)]
    texts = []
    for _ in range(300):
        text = [rng.choice(vocabulary) for _ in range(rng.randrange(3, 40))]
        if texts and rng.random() < 0.5:
            text = rng.choice(texts).split()
            for _ in range(rng.choice([0, 1, 1, 2])):
                text[rng.randrange(len(text))] = rng.choice(vocabulary)
        texts.append(" ".join(text))
    kept = []
    for i, text in enumerate(texts):
        own = dedup.grams(text)
        if not any(len(own & o) >= dedup.threshold * len(own | o) for o in map(dedup.grams, (texts[j] for j in kept))):
            kept.append(i)
    expect(dedup.unique(texts)[0] == kept, "duplicates", "the index and the comparison of all pairs differ")


# ---------------------------------------------------------------- a set of samples


def check_samples(name, train, validation, questions, whole):
    rows = train + validation
    for row in rows:
        reason = write.sample_form(row)
        if reason:
            fail(row.get("id", "?"), reason)
            return
    results, equations = verify.errors_of(rows)
    counts[f"{name}: equations evaluated"] += equations
    for row, errors in zip(rows, results):
        counts[f"{name}: {row['category']} samples"] += 1
        for error in errors[:1]:
            fail(f"{name} {row['id']} ({row['template']})", error)
    for identity, part, question in overlaps(rows, questions)[:20]:
        fail(f"{name} {identity}", f"the {part} part overlaps with the question {question!r}")
    identities = [r["id"] for r in rows]
    expect(len(set(identities)) == len(identities), name, "an id occurs twice")
    kept, exact, near = dedup.unique([dedup.identity(r) for r in rows])
    # Categories were cleaned one by one, and the order decides which of a chain of similar samples stays.
    expect(exact == 0 and near <= 0.002 * len(rows), name, f"{exact} exact and {near} near duplicates")
    if validation:
        shared = {r["template"] for r in train} & {r["template"] for r in validation}
        expect(not shared, name, f"templates on both sides: {sorted(shared)[:5]}")
        part = len(validation) / len(rows)
        expect(0.03 <= part <= 0.08, name, f"{part:.3f} of the samples are for validation")
        counts[f"{name}: templates"] = len({r["template"] for r in rows})
        for category, least in MIN_TEMPLATES.items():
            own = [r["kind"] for r in rows if r["category"] == category]
            least, kinds = min(least, len(own)), set(own)
            expect(len(kinds) >= least, name, f"{len(kinds)} kinds of {category} tasks, at least {least}")
    if whole:
        have = collections.Counter(r["category"] for r in rows)
        expect(have["finance"] == 5000 and have["sql"] == have["python"] == 1500 and have["general"] >= 1000, name, f"samples: {dict(have)}")


def read_set(folder, names, form):
    """Rows of each file; complaints about lines count as failures."""
    out = []
    for name in names:
        rows, complaints = write.read(folder / name, form)
        for complaint in complaints[:10]:
            fail("form", complaint)
        out.append(rows)
    return out


def generate(folder, *options, seed="0"):
    """Runs the command; a text's hash differs from process to process, so a set's order must not show."""
    done = subprocess.run([sys.executable, COMMAND, "--out", folder, *options], capture_output=True, text=True, env={**os.environ, "PYTHONHASHSEED": seed})
    if done.returncode:
        fail("script/training_data", done.stderr.strip()[-400:])
        return {}, ""
    return {f.name: f.read_bytes() for f in pathlib.Path(folder).glob("*.jsonl")}, done.stderr


def check_small_set(count, questions):
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two, tempfile.TemporaryDirectory() as three:
        first, _ = generate(one, "--count", str(count), "--no-packages", seed="1")
        second, _ = generate(two, "--count", str(count), "--no-packages", seed="2")
        third, _ = generate(three, "--count", "60", "--no-packages", "--only", "instructions", "--seed", "2")
        if not first:
            return
        expect(first == second, "determinism", "two runs with one seed differ")
        expect(third.get("train.jsonl") not in (None, first["train.jsonl"]), "determinism", "another seed gives the same samples")
        train, validation = read_set(pathlib.Path(one), ["train.jsonl", "validation.jsonl"], write.sample_form)
        rows = train + validation
        check_samples("small set", train, validation, questions, False)
        check_overlap_is_seen(rows, questions)
        check_wrong_figures_are_seen(rows)
        check_wrong_code_is_seen(rows)
        check_malformed_lines(rows)
        check_intents(*read_set(pathlib.Path(one), ["intents_train.jsonl", "intents_test.jsonl"], write.intent_form))
    # The part over documentation, as far as there is any on this machine.
    debs = ROOT / ".cache" / "debs"
    here = [p for p, (wanted, _) in documentation.packages.items() if documentation.installed(p, wanted) or list(debs.glob(p + "_*.deb"))]
    if not here:
        print(f"skipped: samples over documentation (none of {', '.join(documentation.packages)} is installed or in {debs.relative_to(ROOT)})")
        return
    with tempfile.TemporaryDirectory() as folder:
        generate(folder, "--count", str(count), "--only", "instructions")
        train, validation = read_set(pathlib.Path(folder), ["train.jsonl", "validation.jsonl"], write.sample_form)
        check_samples("with packages", train, validation, questions, False)


# ---------------------------------------------------------------- intents


def bayes(train, test):
    """Accuracy of a naive Bayes classifier over words (Laplace smoothing): the set can be learned, and is no matter of single words."""
    words = collections.defaultdict(collections.Counter)
    for row in train:
        words[row["label"]].update(plain_words(row["text"]))
    vocabulary = {w for c in words.values() for w in c}
    totals = {label: sum(c.values()) + len(vocabulary) for label, c in words.items()}
    right = 0
    for row in test:
        own = [w for w in plain_words(row["text"]) if w in vocabulary]
        best = max(words, key=lambda label: sum(math.log((words[label][w] + 1) / totals[label]) for w in own))
        right += best == row["label"]
    return right / len(test)


def check_intents(train, test):
    counts["intents: train lines"], counts["intents: test lines"] = len(train), len(test)
    names = [name for name, _, _ in intents.read()]
    expect(len(names) == 77, "intents", f"{len(names)} intents")
    for split, rows, least in (("train", train, 120), ("test", test, 35)):
        have = collections.Counter(r["label"] for r in rows)
        expect(set(have) == set(range(77)) and min(have.values()) >= least, f"intents {split}", "an intent has too few lines")
        for row in rows:
            if names[row["label"]] != row["intent"] or not row["template"].startswith(row["intent"] + "." + split):
                fail(f"intents {split}", f"label, intent and template disagree: {row}")
                break
    for name, _, patterns in intents.read():
        expect(not set(patterns["train"]) & set(patterns["test"]), name, "a phrasing is in both splits")
        expect(len(patterns["train"]) >= 4 and len(patterns["test"]) >= 3, name, "too few phrasings")
    # Frames around a phrasing are not shared either, apart from none at all.
    for a, b in zip(intents.frames["train"], intents.frames["test"]):
        expect(not (set(a) & set(b)) - {""}, "intents", "a frame is in both splits")
    texts = [" ".join(plain_words(r["text"])) for r in train + test]
    expect(len(set(texts)) == len(texts), "intents", "a text occurs twice")
    accuracy = bayes(train, test)
    counts["intents: naive Bayes accuracy on test, per mille"] = round(1000 * accuracy)
    expect(0.2 < accuracy < 0.9, "intents", f"naive Bayes reaches {accuracy:.3f}")


def check_committed(questions):
    if not COMMITTED.exists():
        fail(COMMITTED.name, "is missing")
        return
    (rows,) = read_set(COMMITTED, ["sample.jsonl"], write.sample_form)
    expect(len(rows) == 200, "sample.jsonl", f"{len(rows)} lines, 200 expected")
    check_samples("committed sample", rows, [], questions, False)
    expect(all(r["check"].get("source", "handbook") == "handbook" for r in rows), "sample.jsonl", "holds text of a documentation package")
    (lines,) = read_set(COMMITTED, ["intents_sample.jsonl"], write.intent_form)
    expect(len(lines) == 154 and {r["label"] for r in lines} == set(range(77)), "intents_sample.jsonl", f"{len(lines)} lines, 154 over 77 intents expected")
    statistics = json.loads((COMMITTED / "statistics.json").read_text(encoding="utf-8"))
    samples = statistics["instructions"]["samples"]
    expect(samples["train"] + samples["validation"] == 18000 == sum(samples[c] for c in write.categories), "statistics.json", f"samples: {samples}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=600, help="instruction samples to generate")
    parser.add_argument("--full", type=pathlib.Path, help="a folder that script/training_data wrote: all of it is checked")
    options = parser.parse_args()
    questions = read_questions()
    counts["questions"] = len(questions)
    if options.full:
        train, validation = read_set(options.full, ["train.jsonl", "validation.jsonl"], write.sample_form)
        check_samples("full set", train, validation, questions, True)
        check_intents(*read_set(options.full, ["intents_train.jsonl", "intents_test.jsonl"], write.intent_form))
    else:
        check_small_set(options.count, questions)
        check_sandbox()
        check_duplicates_are_found()
    check_committed(questions)
    for what, number in counts.items():
        print(f"{number:6d} {what}")
    for line in failures[:60]:
        print("FAIL", line)
    print(f"{len(failures)} failures" if failures else "all passed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
