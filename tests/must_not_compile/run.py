#!/usr/bin/env python3
"""Programs that must be refused, in the rule's own words.

usage: run.py {g++|clang++}

Each tests/must_not_compile/*.cpp begins with `// expect: REGEX`, which must match what the compiler says, or with
`// compiles`: the control that shows that the others fail for the reason they name and not for a wrong path or flag.
"""
import concurrent.futures
import pathlib
import re
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent


def verdict(compiler, path):
    first = path.read_text().splitlines()[0]
    done = subprocess.run([compiler, "-std=c++20", "-fsyntax-only", f"-I{HERE.parents[1] / 'include'}", str(path)],
                          capture_output=True, text=True)
    said = done.stdout + done.stderr
    if first == "// compiles":
        return "" if done.returncode == 0 else f"should compile:\n{said[:2000]}"
    expected = re.fullmatch(r"// expect: (.+)", first)
    if not expected:
        return "the first line is neither `// expect: REGEX` nor `// compiles`"
    if done.returncode == 0:
        return "compiles, but should not"
    errors = "\n".join(line for line in said.splitlines() if "error" in line)
    return "" if re.search(expected[1], errors) else f"refused, but not with /{expected[1]}/:\n{said[:2000]}"


def main():
    compiler = sys.argv[1]
    if not shutil.which(compiler):
        print(f"skipped: no {compiler} here")
        return 0
    files, bad = sorted(HERE.glob("*.cpp")), 0
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for path, complaint in zip(files, pool.map(lambda p: verdict(compiler, p), files)):
            bad += bool(complaint)
            print(f"{'FAILED' if complaint else 'ok    '} {path.name} {complaint}")
    return bool(bad) or not files


sys.exit(main())
