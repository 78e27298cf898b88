#!/usr/bin/env python3
"""The part of the corpus that the default model is trained on: without packages far from its subjects.

    chosen.py --corpus all.jsonl.xz --out corpus.jsonl.xz
"""
import argparse, json, lzma, pathlib

left_out = """dict-gcide anarchism linux-doc-6.1 fortunes gimp-help-en rust-doc dict-vera dict-jargon exim4-doc-html harden-doc swi-prolog-doc postgis-doc cmake-doc vim-doc
twisted-doc python-sympy-doc manpages-dev""".split()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--corpus", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    options = parser.parse_args()
    with lzma.open(options.corpus, "rt") as lines:
        kept = [line for line in lines if json.loads(line)["source"] not in left_out]
    # The dictionary comes last, as in the corpus that the model card's figures are of.
    kept.sort(key=lambda line: json.loads(line)["source"] == "wordnet-base")
    with lzma.open(options.out, "wt", preset=6) as out:
        out.writelines(kept)
    print(len(kept), "documents,", sum(map(len, kept)), "characters")


if __name__ == "__main__":
    main()
