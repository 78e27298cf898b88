#!/usr/bin/env python3
"""Checks the handbook (examples/data/handbook) and its questions (examples/data/questions.jsonl).

Run from anywhere:  python3 tests/data/handbook_check.py
Standard library only.  Prints what was checked; exit status 1 if anything failed.
"""

import json
import pathlib
import re
import resource
import sqlite3
import subprocess
import sys
import tempfile

from handbook_figures import FIGURES

ROOT = pathlib.Path(__file__).resolve().parents[2]
HANDBOOK = ROOT / "examples" / "data" / "handbook"
QUESTIONS = ROOT / "examples" / "data" / "questions.jsonl"

CATEGORIES = ("finance", "sql", "python")
MIN_DOCUMENTS = {"finance": 80, "sql": 60, "python": 60}
MIN_QUESTIONS = {"finance": 80, "sql": 60, "python": 60}
MIN_UNANSWERABLE = 20
MIN_WORDS, MAX_WORDS = 150, 400  # prose only: fenced blocks and headings do not count
MAX_HEADINGS = 4
CPU_SECONDS = 1.0  # of one python block
WALL_SECONDS = 20  # generous: the machine may be busy
COPIED_WORDS = 8  # a question may not share so long a run of words with a document
FRONT_KEYS = ["id", "title", "category", "tags"]
FENCES = {"python", "sql", "result", "text"}

failures = []
counts = {}


def fail(where, message):
    failures.append(f"{where}: {message}")


def count(what, amount=1):
    counts[what] = counts.get(what, 0) + amount


# ---------------------------------------------------------------- documents


def parse_front_matter(where, lines):
    """The four one-line values, in order; returns (values, index of the first body line)."""
    if not lines or lines[0] != "---":
        fail(where, "expected '---' on line 1")
        return {}, 0
    values, index = {}, 1
    while index < len(lines) and lines[index] != "---":
        match = re.fullmatch(r"([a-z]+): (\S.*)", lines[index])
        if not match or match[2] != match[2].rstrip():
            fail(where, f"line {index + 1}: expected 'key: value', found {lines[index]!r}")
        else:
            values[match[1]] = match[2]
        index += 1
    if index == len(lines):
        fail(where, "front matter is not closed")
    if list(values) != FRONT_KEYS:
        fail(where, f"expected the keys {FRONT_KEYS}, found {list(values)}")
    return values, index + 1


def check_front_matter(where, path, values):
    category, slug = path.parent.name, path.stem
    if values.get("category") != category:
        fail(where, f"category: expected {category!r}, found {values.get('category')!r}")
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", slug):
        fail(where, f"slug {slug!r} is not lower-case words joined by '-'")
    if values.get("id") != f"{category}-{slug}":
        fail(where, f"id: expected '{category}-{slug}', found {values.get('id')!r}")
    if re.search(r"[:#\"'{}\[\]]", values.get("title", "")):
        fail(where, f"title {values['title']!r} needs YAML quoting")
    if not re.fullmatch(r"\[[a-zA-Z0-9_ -]+(, [a-zA-Z0-9_ -]+)*\]", values.get("tags", "")):
        fail(where, f"tags: expected '[a, b]', found {values.get('tags')!r}")


def split_body(where, lines, first):
    """Prose paragraphs and fenced blocks [(language, text)] of the body, in order."""
    prose, blocks, headings, fence, block = [], [], 0, None, []
    for number, line in enumerate(lines[first:], first + 1):
        if fence is not None:
            if line == "```":
                blocks.append((fence, "\n".join(block)))
                fence, block = None, []
            else:
                block.append(line)
        elif line.startswith("```"):
            fence = line[3:]
            if fence not in FENCES:
                fail(where, f"line {number}: fence {fence!r} is none of {sorted(FENCES)}")
        elif line.startswith("#"):
            headings += 1
            if not re.fullmatch(r"## \S.*", line):
                fail(where, f"line {number}: only '## ' headings are allowed")
        else:
            if line.startswith("|"):
                fail(where, f"line {number}: tables are not allowed")
            if re.search(r"\$\$|\\[a-zA-Z(\[]", re.sub(r"`[^`]*`", "", line)):
                fail(where, f"line {number}: LaTeX is not allowed")
            if "\t" in line or line != line.rstrip():
                fail(where, f"line {number}: tab or trailing blank")
            prose.append(line)
    if fence is not None:
        fail(where, "a fenced block is not closed")
    if headings > MAX_HEADINGS:
        fail(where, f"{headings} headings, at most {MAX_HEADINGS}")
    paragraphs = [" ".join(p.split()) for p in "\n".join(prose).split("\n\n")]
    return [p for p in paragraphs if p], blocks


def sentences(paragraph):
    return re.split(r"(?<=[.?!]) (?=[A-Z`])", paragraph)


def check_prose(where, paragraphs):
    words = sum(len(p.split()) for p in paragraphs)
    count("words of prose", words)
    if not MIN_WORDS <= words <= MAX_WORDS:
        fail(where, f"{words} words of prose, expected {MIN_WORDS} to {MAX_WORDS}")
    if not paragraphs:
        return
    if not re.search(r"\b(is|are)\b", sentences(paragraphs[0])[0]):
        fail(where, f"the first sentence defines nothing: {sentences(paragraphs[0])[0]!r}")
    # A sentence is quoted alone as an answer, so it must name its subject.
    for paragraph in paragraphs:
        for sentence in sentences(paragraph):
            count("sentences")
            if re.match(r"(It|Its|They|Their|This|These|That|Those|He|She)\b", sentence):
                fail(where, f"sentence without its own subject: {sentence!r}")


def run_sql(script):
    """Rows of the last statement that returned any columns, as '|'-joined lines.

    NULL prints as NULL; of a query plan only its detail column prints.
    """
    connection = sqlite3.connect(":memory:", isolation_level=None)
    output, statement = None, ""
    try:
        for line in script.splitlines(keepends=True):
            statement += line
            if not sqlite3.complete_statement(statement):
                continue
            cursor = connection.execute(statement)
            rows = cursor.fetchall()
            if cursor.description:
                plan = re.match(r"\s*EXPLAIN QUERY PLAN\b", statement)
                output = [row[3:] if plan else row for row in rows]
            statement = ""
    finally:
        connection.close()
    if re.sub(r"--.*", "", statement).strip():
        raise ValueError(f"unfinished statement {statement!r}")
    if output is None:
        raise ValueError("no statement returned rows")
    return ["|".join("NULL" if v is None else str(v) for v in row) for row in output]


def run_python(source):
    """(error text or None, CPU seconds) of the source run alone in an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        try:
            done = subprocess.run([sys.executable, "-I", "-W", "error", "-c", source], cwd=folder,
                                  capture_output=True, text=True, timeout=WALL_SECONDS,
                                  stdin=subprocess.DEVNULL)
        except subprocess.TimeoutExpired:
            return f"still running after {WALL_SECONDS} s", float(WALL_SECONDS)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if done.returncode:
        return f"exit {done.returncode}: {done.stderr.strip()[-400:]}", seconds
    return None, seconds


def check_blocks(where, category, blocks):
    languages = [language for language, _ in blocks]
    if category in ("sql", "python") and category not in languages:
        fail(where, f"no {category} block")
    for index, (language, text) in enumerate(blocks):
        if language == "sql":
            count("sql blocks run")
            if languages[index + 1:index + 2] != ["result"]:
                fail(where, "a sql block without a result block after it")
                continue
            try:
                found = run_sql(text)
            except (sqlite3.Error, ValueError) as error:
                fail(where, f"sql: {error}")
                continue
            expected = blocks[index + 1][1].split("\n") if blocks[index + 1][1] else []
            if found != expected:
                fail(where, f"sql: expected {expected}, found {found}")
        elif language == "result":
            if index == 0 or languages[index - 1] != "sql":
                fail(where, "a result block without a sql block before it")
        elif language == "python":
            count("python blocks run")
            if not re.search(r"^\s*(assert |self\.assert)", text, re.M):
                fail(where, "a python block that asserts nothing")
            error, seconds = run_python(text)
            if error:
                fail(where, f"python: {error}")
            elif seconds > CPU_SECONDS:
                fail(where, f"python: {seconds:.2f} s of CPU, at most {CPU_SECONDS} s")


def number_in(text):
    """(value, decimals) of the first number in the text."""
    match = re.search(r"-?\d[\d,]*(?:\.(\d+))?", text)
    if not match:
        return None, 0
    return float(match[0].replace(",", "")), len(match[1] or "")


def contains_figure(text, figure):
    """The figure stands in the text and is not part of a longer number."""
    return re.search(r"(?<![\d.,])" + re.escape(figure) + r"(?!\d|[.,]\d)", text) is not None


def check_figures(documents):
    for identity in FIGURES:
        if identity not in documents:
            fail("handbook_figures.py", f"no document {identity!r}")
    for identity, (path, paragraphs, _) in documents.items():
        entries = FIGURES.get(identity, [])
        if path.parent.name == "finance" and len(entries) < 2:
            fail(identity, f"{len(entries)} recomputed figures, expected at least 2")
        text = " ".join(paragraphs)
        for value, figure in entries:
            count("figures recomputed")
            stated, decimals = number_in(figure)
            if stated is None:
                fail(identity, f"figure {figure!r} holds no number")
            elif abs(value - stated) > 0.5 * 10.0**-decimals + 1e-9:
                fail(identity, f"figure {figure!r}: recomputed {value!r}")
            if not contains_figure(text, figure):
                fail(identity, f"figure {figure!r} is not in the text")


def check_documents():
    documents = {}
    for path in sorted(HANDBOOK.rglob("*")):
        if path.is_dir():
            continue
        where = str(path.relative_to(HANDBOOK))
        if path.suffix != ".md" or path.parent.parent != HANDBOOK or path.parent.name not in CATEGORIES:
            fail(where, "expected {finance,sql,python}/<slug>.md")
            continue
        text = path.read_text(encoding="utf-8")
        if not text.endswith("\n") or "\r" in text:
            fail(where, "expected lines that end in a line feed")
        lines = text.split("\n")
        values, first = parse_front_matter(where, lines)
        check_front_matter(where, path, values)
        paragraphs, blocks = split_body(where, lines, first)
        check_prose(where, paragraphs)
        check_blocks(where, path.parent.name, blocks)
        if values.get("id") in documents:
            fail(where, f"id {values['id']!r} occurs twice")
        documents[values.get("id")] = (path, paragraphs, blocks)
        count(f"{path.parent.name} documents")
    for category, least in MIN_DOCUMENTS.items():
        if counts.get(f"{category} documents", 0) < least:
            fail(category, f"{counts.get(f'{category} documents', 0)} documents, at least {least}")
    titles = {}
    for identity, (path, _, _) in documents.items():
        title = path.read_text(encoding="utf-8").split("\n")[2]
        if title in titles:
            fail(identity, f"same title as {titles[title]}")
        titles[title] = identity
    check_figures(documents)
    return documents


# ---------------------------------------------------------------- questions


def plain_words(text):
    return re.findall(r"[a-z0-9]+", text.lower())


def runs_of(words, length):
    return {tuple(words[i:i + length]) for i in range(len(words) - length + 1)}


def check_code_answer(where, row):
    """A code answer is executed: see examples/data/README.md."""
    if row.get("language") == "sql":
        if not isinstance(row.get("expected"), list):
            fail(where, "expected: a list of result lines is missing")
            return
        try:
            found = run_sql(row.get("setup", "") + "\n" + row["answer"])
        except (sqlite3.Error, ValueError) as error:
            fail(where, f"sql: {error}")
            return
        if found != row["expected"]:
            fail(where, f"sql: expected {row['expected']}, found {found}")
    elif row.get("language") == "python":
        if "assert " not in row.get("tests", ""):
            fail(where, "tests: asserts are missing")
            return
        error, _ = run_python(row["answer"] + "\n" + row["tests"])
        if error:
            fail(where, f"python: {error}")
        # Tests that pass without the answer test nothing.
        if run_python(row["tests"])[0] is None:
            fail(where, "tests pass without the answer")
    else:
        fail(where, f"language: expected sql or python, found {row.get('language')!r}")
    count("code answers run")


def check_question(where, row, documents, runs):
    kinds = ("numeric", "code", "text")
    required = ["id", "category", "question", "answer", "kind", "alternatives", "documents"]
    optional = {"tolerance", "unit", "language", "setup", "expected", "tests"}
    missing = [key for key in required if key not in row]
    unknown = [key for key in row if key not in required and key not in optional]
    if missing or unknown:
        fail(where, f"missing keys {missing}, unknown keys {unknown}")
        return
    if row["category"] not in CATEGORIES or row["kind"] not in kinds:
        fail(where, f"category {row['category']!r} or kind {row['kind']!r}")
    for identity in row["documents"]:
        if identity not in documents:
            fail(where, f"no document {identity!r}")
            return
    copied = runs_of(plain_words(row["question"]), COPIED_WORDS) & runs
    if copied:
        fail(where, f"copies a document: {' '.join(sorted(copied)[0])!r}")
    if not row["documents"]:
        count("unanswerable questions")
        if row["answer"] is not None or row["alternatives"]:
            fail(where, "a question without documents has no answer")
        return
    count(f"{row['category']} questions")
    count(f"{row['kind']} questions")
    if not isinstance(row["answer"], str) or not row["answer"]:
        fail(where, "answer: expected a string")
        return
    text = " ".join(" ".join(documents[i][1]) + " " + " ".join(b for _, b in documents[i][2])
                    for i in row["documents"])
    if row["kind"] == "numeric":
        if not isinstance(row.get("tolerance"), (int, float)) or "unit" not in row:
            fail(where, "a numeric answer needs tolerance and unit")
        if not re.fullmatch(r"-?\d+(\.\d+)?", row["answer"]):
            fail(where, f"answer: expected a plain number, found {row['answer']!r}")
            return
        value = float(row["answer"])
        decimals = len(row["answer"].partition(".")[2])
        if not any(contains_figure(text, f"{value:{grouping}.{decimals}f}") for grouping in ("", ",")):
            fail(where, f"the documents do not state {row['answer']}")
    elif row["kind"] == "code":
        check_code_answer(where, row)
    else:
        # One sentence of the documents must carry the words of the reference answer.
        words = set(plain_words(row["answer"]))
        held = [set(plain_words(s)) for i in row["documents"] for p in documents[i][1] for s in sentences(p)]
        best = max(len(words & h) / len(words) for h in held) if words else 0.0
        if best < 0.75:
            fail(where, f"no sentence carries the answer (best share of its words {best:.2f})")


def check_questions(documents):
    runs = set()
    for _, paragraphs, _ in documents.values():
        for paragraph in paragraphs:
            runs |= runs_of(plain_words(paragraph), COPIED_WORDS)
    identities, texts = set(), set()
    for number, line in enumerate(QUESTIONS.read_text(encoding="utf-8").splitlines(), 1):
        where = f"{QUESTIONS.name}:{number}"
        try:
            row = json.loads(line)
        except ValueError as error:
            fail(where, str(error))
            continue
        if row.get("id") in identities or row.get("question") in texts:
            fail(where, "id or question occurs twice")
        identities.add(row.get("id"))
        texts.add(row.get("question"))
        check_question(where, row, documents, runs)
    for category, least in MIN_QUESTIONS.items():
        if counts.get(f"{category} questions", 0) < least:
            fail(QUESTIONS.name, f"{counts.get(f'{category} questions', 0)} {category} questions, at least {least}")
    if counts.get("unanswerable questions", 0) < MIN_UNANSWERABLE:
        fail(QUESTIONS.name, f"fewer than {MIN_UNANSWERABLE} unanswerable questions")


def main():
    documents = check_documents()
    if QUESTIONS.exists():
        check_questions(documents)
    else:
        fail(QUESTIONS.name, "is missing")
    for what in sorted(counts):
        print(f"{counts[what]:6d} {what}")
    for line in failures:
        print("FAIL", line)
    print(f"{len(failures)} failures" if failures else "all passed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
