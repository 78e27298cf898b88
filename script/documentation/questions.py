#!/usr/bin/env python3
"""Checks the questions about the manuals: their form, and that each page they name exists and holds what answers them.

    questions.py FILE            the form alone
    questions.py FILE PAGES      also against the pages that pages.py made
"""
import json, pathlib, re, sys

CATEGORIES = ("python", "postgresql", "sqlite")
LEAST = 20  # questions of each manual


def words(text):
    return re.findall(r"\w+", text.lower())


def spaced(text):
    return re.sub(r"\s+", " ", text)


def read(file):
    """(questions, problems): what cannot be read is a problem with its line."""
    rows, problems = [], []
    for number, line in enumerate(pathlib.Path(file).read_text(encoding="utf-8").splitlines(), 1):
        try:
            row = json.loads(line)
            if not isinstance(row, dict):
                raise ValueError("expected an object")
            rows.append((number, row))
        except ValueError as e:
            problems.append(f"{file}:{number}: {e}")
    return rows, problems


def check_form(file):
    rows, problems = read(file)
    ids, texts = {}, {}
    for number, q in rows:
        def wrong(why):
            problems.append(f"{file}:{number}: {why}")
        for name, kind in (("id", str), ("category", str), ("kind", str), ("question", str), ("answer", str), ("alternatives", list), ("documents", list), ("evidence", dict)):
            if not isinstance(q.get(name), kind) or (kind is str and not q[name].strip()):
                wrong(f"{name}: expected a {kind.__name__} that is not empty, found {q.get(name)!r}")
                break
        else:
            if q["id"] in ids:
                wrong(f"id: {q['id']} stands in line {ids[q['id']]} too")
            ids[q["id"]] = number
            same = " ".join(words(q["question"]))
            if same in texts:
                wrong(f"question: the same as in line {texts[same]}")
            texts[same] = number
            if q["category"] not in CATEGORIES:
                wrong(f"category: expected one of {', '.join(CATEGORIES)}, found {q['category']}")
            if not q["documents"] or len(set(q["documents"])) != len(q["documents"]):
                wrong("documents: expected pages, each once")
            if sorted(q["documents"]) != sorted(q["evidence"]):
                wrong("evidence: expected a phrase for each document, and no other")
            for page, phrase in q["evidence"].items():
                if not re.fullmatch(q["category"] + r"/[\w./-]+\.html", page) or ".." in page:
                    wrong(f"documents: expected {q['category']}/….html, found {page}")
                if not isinstance(phrase, str) or len(phrase) < 3:
                    wrong(f"evidence: expected a phrase for {page}, found {phrase!r}")
                # A question in the words of its page would only test that words are found.
                elif len(words(phrase)) >= 5 and " ".join(words(phrase)) in same:
                    wrong(f"question: holds the phrase of {page}")
    for category in CATEGORIES:
        count = sum(q.get("category") == category for _, q in rows)
        if count < LEAST:
            problems.append(f"{file}: expected at least {LEAST} questions about {category}, found {count}")
    return problems


def check_pages(file, pages):
    """That the pages are there, with their phrases."""
    rows, problems = read(file)
    for number, q in rows:
        for page, phrase in q["evidence"].items():
            path = pathlib.Path(pages) / (page[:-len(".html")] + ".md")
            if not path.is_file():
                problems.append(f"{file}:{number}: {q['id']}: no page {page}")
            elif spaced(phrase) not in spaced(path.read_text(encoding="utf-8")):
                problems.append(f"{file}:{number}: {q['id']}: {page} does not hold \"{phrase}\"")
    return problems


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        raise SystemExit(__doc__)
    found = check_form(sys.argv[1]) or (check_pages(*sys.argv[1:]) if len(sys.argv) == 3 else [])
    print("\n".join(found) or "all good")
    sys.exit(bool(found))
