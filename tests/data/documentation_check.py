#!/usr/bin/env python3
"""Checks examples/data/documentation_questions.jsonl and the programs behind script/real_documents, without downloading anything."""
import json, pathlib, subprocess, sys, tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "script" / "documentation"))
import pages, questions  # noqa: E402

FILE = ROOT / "examples/data/documentation_questions.jsonl"
failures = []


def expect(condition, what):
    if not condition:
        failures.append(what)


def form():
    for problem in questions.check_form(FILE):
        failures.append(problem)
    first = json.loads(FILE.read_text().splitlines()[0])
    known = {json.dumps(json.loads(line)["question"]).lower() for line in (ROOT / "examples/data/questions.jsonl").read_text().splitlines()}
    for line in FILE.read_text().splitlines():
        expect(json.dumps(json.loads(line)["question"]).lower() not in known, f"asked about the handbook too: {line[:80]}")
    # Each fault is found.
    faults = {"line that is no JSON": "{", "list": "[]", "no answer": {**first, "answer": ""}, "unknown manual": {**first, "category": "cobol"}, "no pages": {**first, "documents": [], "evidence": {}},
              "page without a phrase": {**first, "documents": first["documents"] + ["python/x.html"]}, "page outside": {**first, "documents": ["python/../x.html"], "evidence": {"python/../x.html": "abc"}},
              "short phrase": {**first, "evidence": {p: "a" for p in first["documents"]}}, "copied wording": {**first, "question": "Is it true, Transform list x into a heap, in-place?",
              "evidence": {p: "transform list x into a heap" for p in first["documents"]}}}
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "q.jsonl"
        good = FILE.read_text().splitlines()
        for name, fault in faults.items():
            file.write_text("\n".join(([fault if isinstance(fault, str) else json.dumps(fault)] + good[1:])) + "\n")
            expect(any(p.startswith(f"{file}:1:") for p in questions.check_form(file)), f"not found: {name}")
        for name, text in {"the same id": good[:2] + [good[0]] + good[2:], "too few": good[:30]}.items():
            file.write_text("\n".join(text) + "\n")
            expect(questions.check_form(file), f"not found: {name}")
        # Against pages.
        file.write_text(good[0] + "\n")
        page = pathlib.Path(folder) / (first["documents"][0][:-5] + ".md")
        expect(any("no page" in p for p in questions.check_pages(file, folder)), "not found: a missing page")
        page.parent.mkdir(parents=True)
        page.write_text("other words")
        expect(any("does not hold" in p for p in questions.check_pages(file, folder)), "not found: a missing phrase")
        page.write_text("… " + first["evidence"][first["documents"][0]].replace(" ", "\n") + " …")
        expect(not questions.check_pages(file, folder), "a phrase over two lines is one all the same")


SPHINX = b"""<html><head><title>heapq - Queue &#8212; Python 3.11 documentation</title><script>var x = "<p>no</p>";</script></head><body><nav>away</nav><div class="body" role="main">
<h1>heapq<a class="headerlink" href="#x">\xc2\xb6</a></h1><p>One <code>two</code>
three.<div class="toc"><p>away</p><div>away</div></div></p><pre>for x in y:
    print("#")
</pre><ul><li><p>first</p></li><li><p>second</p></li></ul><table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td><p>2</p><p>3</p></td></tr></table><dl><dt>f(x)</dt><dd>does.</dd></dl>
<p># no heading</p></div><div>away</div></body></html>"""
LOOSE = b"<TITLE>1.2. Loose</TITLE><body><div class=nosearch><p>away</div><h2><span>1. </span>Head</h2><p>One<p>Two<ul><li>a<li>b</ul><p>three &lt; four &amp; <b>five</b><pre>\ncode\n</pre>tail"


def extraction():
    title, text = pages.read_page(SPHINX)
    expect(title == "heapq - Queue", f"title: {title}")
    expect(text == "# heapq\n\nOne two three.\n\n```\nfor x in y:\n    print(\"#\")\n```\n\n- first\n- second\n\n| a | b\n| 1 | 2 3\n\nf(x)\n\ndoes.\n\n\\# no heading", f"text: {text!r}")
    title, text = pages.read_page(LOOSE)
    expect((title, text) == ("Loose", "## 1. Head\n\nOne\n\nTwo\n\n- a\n- b\n\nthree < four & five\n\n```\ncode\n```\n\ntail"), f"loose: {title!r} {text!r}")
    for bad in (b"\0\0\0", b"no tags at all", b""):
        try:
            pages.read_page(bad)
            failures.append(f"read without complaint: {bad!r}")
        except ValueError:
            pass
    pages.read_page(b"<p>\xff\xfe caf\xe9 <div <<< </p></div></div><pre>never closed")  # whatever it makes of it, it does not fall over

    with tempfile.TemporaryDirectory() as folder:
        tree, out = pathlib.Path(folder) / "tree", pathlib.Path(folder) / "out"
        said = []
        for package, place, _ in pages.MANUALS.values():
            base = tree / package / place
            base.mkdir(parents=True)
            (base / "one.html").write_bytes(SPHINX.replace(b"One", b"word " * 40))
            (base / "broken.html").write_bytes(b"\0")
            (base / "links.html").write_bytes(b"<title>x</title><p>few words</p>")
        counts = pages.extract(tree, out, said.append)
        expect(all(c["pages"] == 1 and c["broken"] == 1 and c["left_out"] == 1 for c in counts.values()), f"counts: {counts}")
        expect(len(said) == 3 and "broken.html" in said[0], "broken pages are named")
        expect((out / "python/one.md").read_text().startswith("---\nid: python/one.html\ntitle: heapq - Queue\ncategory: python\n---\n# heapq\n"), "front matter")
        (out / "python/gone.md").write_text("x")
        pages.extract(tree, out, said.append)
        expect(not (out / "python/gone.md").exists(), "the file of a page that is gone is deleted")


def command():
    """What the command says where something is missing: no apt-get, a folder that cannot be made."""
    script = ROOT / "script/real_documents"
    with tempfile.TemporaryDirectory() as folder:
        run = subprocess.run([sys.executable, script, folder + "/x"], capture_output=True, text=True, env={"PATH": folder})
        expect(run.returncode == 1 and "apt-get" in run.stderr and "Traceback" not in run.stderr, f"without apt-get: {run.returncode} {run.stderr}")
        (pathlib.Path(folder) / "apt-get").write_text("#!/bin/sh\necho 'E: Unable to locate package' >&2\nexit 100\n")
        (pathlib.Path(folder) / "apt-get").chmod(0o755)
        run = subprocess.run([sys.executable, script, folder + "/x"], capture_output=True, text=True, env={"PATH": folder + ":/bin:/usr/bin"})
        expect(run.returncode == 1 and "Unable to locate package" in run.stderr and "Traceback" not in run.stderr, f"package missing: {run.returncode} {run.stderr}")
        (pathlib.Path(folder) / "file").write_text("")
        run = subprocess.run([sys.executable, script, folder + "/file"], capture_output=True, text=True)
        expect(run.returncode == 1 and "Traceback" not in run.stderr, f"a file as folder: {run.returncode} {run.stderr}")


form()
extraction()
command()
print("\n".join(failures) or "all good")
sys.exit(bool(failures))
