#!/usr/bin/env python3
"""What a public header costs whoever includes it, in compiler time over an empty unit: at most 3 s for the kernels. Headers of
models carry nlohmann/json, which takes most of that by itself, and instantiate what their inline functions use; for them the
3 s are not reached yet, and the limit only keeps them from growing.

usage: cost.py BUILD_FOLDER
"""
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
LIMIT = 3.0  # seconds of processor time; the test runs alone, since shared caches count all the same
MODEL_LIMIT = 20.0
MODELS = {"decoder.hpp", "encoder.hpp", "rag.hpp", "retrieval.hpp"}


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
        limit = MODEL_LIMIT if path.name in MODELS else LIMIT
        for _ in range(3):  # a first run may find cold caches
            if cost > limit:
                cost = min(cost, seconds(unit, text) - empty)
        bad += cost > limit
        print(f"{path.name:<15} {cost:6.2f} s{'   over the limit of %.0f s' % limit if cost > limit else ''}")
    return bool(bad)


sys.exit(main())
