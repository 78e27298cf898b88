#!/usr/bin/env python3
"""No macro of ours is left behind by a header unless it begins with SMALTI_.

usage: leaks.py [HEADER…]   (default: the public headers and, while there are none, every .hpp)

The preprocessor says where each macro was defined (-dD keeps the line marks), so macros of system headers do not count.
"""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
INCLUDE = ROOT / "include"
THEIRS = {"PCRE2_CODE_UNIT_WIDTH"}  # pcre2.h asks whoever includes it to set this, and reads it at every use


def leaks(header):
    name = header.relative_to(INCLUDE).as_posix()
    done = subprocess.run(["g++", "-std=c++20", "-E", "-dD", f"-I{INCLUDE}", "-x", "c++", "-"],
                          input=f"#include <{name}>\n", capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    here, left = "", {}
    for line in done.stdout.splitlines():
        if mark := re.match(r'# \d+ "([^"]*)"', line):
            here = mark[1]
        elif made := re.match(r"#define (\w+)", line):
            if here.startswith(str(INCLUDE)):
                left[made[1]] = here
        elif gone := re.match(r"#undef (\w+)", line):
            left.pop(gone[1], None)
    return {macro: file for macro, file in left.items() if not macro.startswith("SMALTI_") and macro not in THEIRS}


def main():
    public = [pathlib.Path(a).resolve() for a in sys.argv[1:]] or sorted((INCLUDE / "smalti").glob("*.hpp"))
    bad, seen = 0, 0
    for header in public or sorted(INCLUDE.rglob("*.hpp")):
        seen += 1
        for macro, file in leaks(header).items():
            bad += 1
            print(f"{header.name}: {macro} is left behind by {file}")
    print(f"{seen} headers, {bad} macros left behind")
    return bool(bad) or not seen


sys.exit(main())
