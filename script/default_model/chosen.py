#!/usr/bin/env python3
"""The part of the corpus that questions are asked of, without packages far from the model's subjects, and the rest, which the base reads, too.

    chosen.py --corpus all.jsonl.xz --out corpus.jsonl.xz --wide wide.jsonl.xz
"""
import argparse, json, lzma, pathlib, random

import corpus

left_out = """dict-gcide anarchism linux-doc-6.1 fortunes gimp-help-en rust-doc dict-vera dict-jargon exim4-doc-html harden-doc swi-prolog-doc postgis-doc cmake-doc vim-doc
twisted-doc python-sympy-doc manpages-dev""".split()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--corpus", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--wide", type=pathlib.Path, required=True)
    parser.add_argument("--most", type=float, default=115, help="megabytes of the rest that are drawn")
    options = parser.parse_args()
    kept, rest = [], []
    with lzma.open(options.corpus, "rt") as lines:
        for line in lines:
            name = json.loads(line)["source"]
            (kept if name in corpus.packages and name not in left_out else rest).append(line)
    random.Random(4).shuffle(rest)
    # The dictionary comes last, as in the corpus that the model card's figures are of.
    kept.sort(key=lambda line: json.loads(line)["source"] == "wordnet-base")
    drawn, size = [], 0
    for line in rest:
        if size + len(line.encode()) < options.most * 1e6:
            drawn.append(line); size += len(line.encode())
    for path, lines in ((options.out, kept), (options.wide, drawn)):
        with lzma.open(path, "wt", preset=6) as out:
            out.writelines(lines)
        print(path.name, len(lines), "documents,", sum(map(len, lines)), "characters")


if __name__ == "__main__":
    main()
