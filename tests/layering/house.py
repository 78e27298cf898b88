#!/usr/bin/env python3
"""What can be counted of the house rules: file lengths, comment share, guards, and no trace of any one machine.

usage: house.py
"""
import pathlib
import re
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCE = {".hpp", ".cuh", ".inc", ".cpp", ".cu", ".py", ".cmake", ".sh"}
TEXT = SOURCE | {".md", ".txt", ".json", ".yml", ".in", ""}
GENERATED = ("single_include/", "docs/errors.md", "docs/decisions.md")
DATA = ("tests/golden/", "examples/data/", "models/", "tests/fuzz/corpus/", "script/default_model/results/")
# Absolute paths of somebody's machine; the shebang and device files of /usr, /dev and /proc are everybody's.
MACHINE = re.compile(r"(?<![\w.~/-])/(?:work|root|home/\w+|Users/\w+|mnt/\w+)(?:/|\b)")
HOST = re.compile(r"https?://([\w.-]+)")
KNOWN_HOSTS = {"arxiv.org", "huggingface.co", "github.com", "json-schema.org", "doi.org", "www.w3.org", "localhost", "127.0.0.1",
               "smalti.example", "docs.nvidia.com", "www.unicode.org", "unicode.org", "en.cppreference.com", "aclanthology.org",
               "papers.nips.cc", "dl.acm.org", "www.rfc-editor.org", "pytorch.org", "catch2.org", "example.com", "example.org"}


def tracked():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    names = listed.stdout.split("\0") if listed.returncode == 0 else [p.relative_to(ROOT).as_posix() for p in ROOT.rglob("*")]
    return sorted(n for n in names if n and (ROOT / n).is_file())


def main():
    bad, lengths, comments, lines_in_headers = [], [], 0, 0
    for name in tracked():
        path = ROOT / name
        if path.suffix not in TEXT or name.startswith(GENERATED + DATA) or path.name == "LICENSE":
            continue
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        lines = text.splitlines()
        if path.suffix in SOURCE:
            lengths.append(len(lines))
            if len(lines) > 500:
                bad.append(f"{name}: {len(lines)} lines; at most 500")
        if name.startswith("include/"):
            if path.suffix != ".inc" and (not lines or lines[0].strip() != "#pragma once"):
                bad.append(f"{name}: the first line is not #pragma once")
            filled = [line for line in lines if line.strip()]
            lines_in_headers += len(filled)
            comments += sum("//" in line for line in filled)
        if name.startswith("tests/layering/"):
            continue  # the patterns themselves
        for number, line in enumerate(lines, 1):
            if found := MACHINE.search(line):
                bad.append(f"{name}:{number}: a path of one machine: {found[0]}")
            for host in HOST.findall(line):
                if host not in KNOWN_HOSTS:
                    bad.append(f"{name}:{number}: host {host}")
    print(f"{len(lengths)} source files, median {statistics.median(lengths):.0f} lines, longest {max(lengths)}; "
          f"headers: {100 * comments / max(1, lines_in_headers):.0f} % of lines hold a comment")
    if statistics.median(lengths) >= 150:
        bad.append("the median source file has 150 lines or more")
    print("\n".join(bad) or "house rules hold")
    return bool(bad)


sys.exit(main())
