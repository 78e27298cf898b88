#!/usr/bin/env python3
"""Exchangeable words from WordNet's commonest senses, as a table for rewording questions.

    synonyms.py --package wordnet-base.deb --out synonyms.json
"""
import argparse, collections, json, pathlib, subprocess, tempfile


def load(folder):
    """word → words of its commonest senses, each word seen in WordNet's tagged texts."""
    counts = collections.Counter()
    for line in (folder / "cntlist.rev").read_text().splitlines():
        key, _, n = line.split()[:3]
        word, sense = key.split("%")
        counts[word, {"1": "n", "2": "v", "3": "a", "4": "r", "5": "a"}[sense[0]]] += int(n)
    found = collections.defaultdict(collections.Counter)
    for name, pos in (("noun", "n"), ("verb", "v"), ("adj", "a"), ("adv", "r")):
        sets = {}
        for line in (folder / f"data.{name}").read_text(encoding="latin-1").splitlines():
            if line[:1] == " ":
                continue
            part = line.split(" | ")[0].split()
            size = int(part[3], 16)
            words = [w.split("(")[0].replace("_", " ").lower() for w in part[4:4 + 2 * size:2]]
            rest = part[4 + 2 * size:]
            above = [rest[i + 1] for i in range(1, len(rest) - 3) if rest[i] in ("@", "&")]
            sets[part[0]] = words, above
        for line in (folder / f"index.{name}").read_text().splitlines():
            if line[:1] == " ":
                continue
            part = line.split()
            word, offsets = part[0], part[-int(part[2]):]
            if "_" in word or len(word) < 3 or not word.isalpha() or counts[word, pos] < 1:
                continue
            # A word that is mostly another part of speech is not reworded by this one.
            if counts[word, pos] < 0.5 * max(counts[word, p] for p in "nvar"):
                continue
            for rank, offset in enumerate(offsets[:2]):
                words, above = sets[offset]
                for other in words:
                    if other != word and counts[other.replace(" ", "_"), pos] > 1 and len(other.split()) < 3:
                        found[word][other] += 3 - rank
                for up in above[:1] if rank == 0 else []:
                    for other in sets[up][0][:2] if up in sets else []:
                        if other != word and counts[other.replace(" ", "_"), pos] > 4 and " " not in other:
                            found[word][other] += 1
    return {w: [o for o, _ in c.most_common(6)] for w, c in sorted(found.items()) if c}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--package", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["dpkg-deb", "-x", options.package, folder], check=True)
        table = load(pathlib.Path(folder) / "usr/share/wordnet")
    options.out.write_text(json.dumps(table, separators=(",", ":")))
    print(len(table), "words,", options.out.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
