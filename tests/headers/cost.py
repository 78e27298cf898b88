#!/usr/bin/env python3
"""What a public header costs whoever includes it, in compiler time over an empty unit: at most 3 s, in the compiled mode for all of
them and as headers alone for the kernels. The headers of models, alone, carry nlohmann/json, PCRE2 and the kernels' bodies: for
them that way is for small programs, and its limit only keeps it from growing.

usage: cost.py BUILD_FOLDER
"""
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
LIMIT = 3.0  # seconds of processor time; the test runs alone, since shared caches count all the same
ALONE_LIMIT = 15.0
MODELS = {"decoder.hpp", "encoder.hpp", "rag.hpp", "retrieval.hpp"}


def seconds(unit, text, *flags):
    unit.write_text(text)
    child = subprocess.Popen(["g++", "-std=c++20", "-O2", "-c", "-o", "/dev/null", *flags, f"-I{ROOT / 'include'}", str(unit)])
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
    print("                compiled  headers alone")
    for path in sorted((ROOT / "include" / "smalti").glob("*.hpp")):
        text = f"#include <smalti/{path.name}>\n"
        row = ""
        for flags, limit in ((["-DSMALTI_COMPILED"], LIMIT), ([], ALONE_LIMIT if path.name in MODELS else LIMIT)):
            cost = seconds(unit, text, *flags) - empty
            for _ in range(3):  # a first run may find cold caches
                if cost > limit:
                    cost = min(cost, seconds(unit, text, *flags) - empty)
            bad += cost > limit
            row += f"{cost:6.2f} s{f' (over {limit:.0f} s)' if cost > limit else ''}   "
        print(f"{path.name:<15} {row.rstrip()}")
    return bool(bad)


sys.exit(main())
