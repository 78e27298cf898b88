#!/usr/bin/env python3
"""Every ```cpp block of README.md and docs/*.md compiles.

usage: snippets.py BUILD_FOLDER

A block with main() or an #include is compiled as it stands. Others see all public headers and `using namespace smalti`; one
that defines something at the start of a line (struct, template, …) is compiled at namespace scope, the rest as a function
body. `<!-- given: declarations -->` on the line before a block declares what it takes for granted. ```cpp ignore is skipped.
"""
import concurrent.futures
import hashlib
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"(?:^<!-- given: (?P<given>.*?)-->\s*\n)?^```cpp(?P<info>[^\n]*)\n(?P<body>.*?)^```", re.M | re.S)
DEFINES = re.compile(r"^(struct|class|template|namespace|inline|enum|concept)\b", re.M)


def units():
    headers = "".join(f"#include <smalti/{p.name}>\n" for p in sorted((ROOT / "include" / "smalti").glob("*.hpp")))
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        text = page.read_text() if page.is_file() else ""
        for block in BLOCK.finditer(text):
            where = f"{page.relative_to(ROOT)}:{text[:block.start('body')].count(chr(10)) + 1}"
            body, given = block["body"], block["given"] or ""
            if "ignore" in block["info"]:
                yield where, None
            elif re.search(r"\bint main\(|^\s*#\s*include", body, re.M):
                yield where, body
            else:
                prelude = f"{headers}#include <cstdio>\n#include <iostream>\nusing namespace smalti;\n"
                inside = f"{given}\n{body}" if DEFINES.search(body) else f"[[maybe_unused]] void snippet() {{\n{given}\n{body}}}\n"
                yield where, prelude + inside


def main():
    build = pathlib.Path(sys.argv[1]).resolve() / "snippets"
    build.mkdir(parents=True, exist_ok=True)
    work = list(units())
    headers = hashlib.sha256(b"".join(p.read_bytes() for p in sorted((ROOT / "include").rglob("*.*pp")))).hexdigest()

    def check(unit):
        where, text = unit
        if text is None:
            return "ignored", ""
        path = build / (re.sub(r"\W", "_", where) + ".cpp")
        mark = build / hashlib.sha256((headers + text).encode()).hexdigest()
        if mark.exists():
            return "ok", ""
        path.write_text(text)
        done = subprocess.run(["g++", "-std=c++20", "-fsyntax-only", *([] if "smalti_models.hpp" in text or "<smalti.hpp>" in text else ["-DSMALTI_COMPILED"]), f"-I{ROOT / 'include'}", f"-I{ROOT / 'single_include'}", str(path)],
                              capture_output=True, text=True)
        if done.returncode == 0:
            mark.touch()
        return ("FAILED", done.stderr[:2000]) if done.returncode else ("ok", "")

    bad = 0
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for (where, _), (result, message) in zip(work, pool.map(check, work)):
            bad += result == "FAILED"
            print(f"{result:8} {where} {message}")
    print(f"{len(work)} snippets, {bad} do not compile")
    return bool(bad)


sys.exit(main())
