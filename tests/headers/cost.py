#!/usr/bin/env python3
"""What a public header costs whoever includes it: at most 3 s of compiler time over an empty unit.

usage: cost.py BUILD_FOLDER
"""
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
LIMIT = 3.0  # seconds of processor time, so that other work on the machine does not count


def seconds(unit, text):
    unit.write_text(text)
    child = subprocess.Popen(["g++", "-std=c++20", "-O2", "-c", "-o", "/dev/null", f"-I{ROOT / 'include'}", str(unit)])
    _, code, usage = os.wait4(child.pid, 0)
    child.returncode = code
    if code:
        raise SystemExit(f"does not compile: {text}")
    return usage.ru_utime + usage.ru_stime


def main():
    unit = pathlib.Path(sys.argv[1]) / "headers" / "cost.cpp"
    unit.parent.mkdir(parents=True, exist_ok=True)
    empty = min(seconds(unit, "\n") for _ in range(2))
    bad = 0
    print(f"empty unit      {empty:6.2f} s")
    for path in sorted((ROOT / "include" / "smalti").glob("*.hpp")):
        text = f"#include <smalti/{path.name}>\n"
        cost = seconds(unit, text) - empty
        if cost > LIMIT:  # once more: a first run may find cold caches
            cost = min(cost, seconds(unit, text) - empty)
        bad += cost > LIMIT
        print(f"{path.name:<15} {cost:6.2f} s{'   over the limit of %.0f s' % LIMIT if cost > LIMIT else ''}")
    return bool(bad)


sys.exit(main())
