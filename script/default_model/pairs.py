#!/usr/bin/env python3
"""Sentences of documentation that say nearly the same as a sentence of the handbook in other words: their questions become its questions.

    pairs.py --corpus corpus.jsonl.xz --encoder .cache/models/all-MiniLM-L6-v2 --out pairs.json

The encoder is the one that retrieval uses; nearness is the cosine of its vectors.
"""
import argparse, json, pathlib, random

import numpy as np

import handbook, passages, questions, samples

sources = """python3.11-doc postgresql-doc-15 sqlite3-doc gnucash-docs gnumeric-doc libreoffice-help-en-us python-sqlalchemy-doc python-peewee-doc python-psycopg-doc
python-pytest-doc homebank-data ledger hledger kmymoney-common dict-foldoc python-requests-doc python-flask-doc python-aiohttp-doc python-celery-doc""".split()


def sentences(corpus, most, seed=1):
    """(sentence, title) of the packages near the handbook's subjects."""
    rng, out = random.Random(seed), []
    for document in samples.read(corpus, "train"):
        if document["source"] in sources:
            for p in passages.split(document, rng):
                out += [(s, p.title) for s in p.sentences if 6 <= len(s.split()) <= 32 and s.split()[0].lower() not in questions.pronouns]
    rng.shuffle(out)
    return out[:most]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--corpus", type=pathlib.Path, required=True)
    parser.add_argument("--encoder", required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--most", type=int, default=40000)
    parser.add_argument("--least", type=float, default=0.7, help="cosine from which two sentences make a pair")
    options = parser.parse_args()
    from sentence_transformers import SentenceTransformer
    model = SentenceTransformer(options.encoder, device="cpu")
    model.max_seq_length = 64
    book = handbook.Handbook(random.Random(1))
    own = [(d, u) for d, (_, _, body) in book.documents.items() for _, _, u in handbook.units(body) if passages.usable(u) and not u.startswith(("#", "```"))]
    a = model.encode([u for _, u in own], batch_size=128, normalize_embeddings=True)
    print(len(own), "sentences of the handbook", flush=True)
    found, kept, foreign = [], 0, sentences(options.corpus, options.most)
    print(len(foreign), "of documentation", flush=True)
    for start in range(0, len(foreign), 4000):
        part = foreign[start:start + 4000]
        b = model.encode([s for s, _ in part], batch_size=128, normalize_embeddings=True)
        near = b @ a.T
        for row, (s, title) in zip(near, part):
            for j in np.argsort(-row)[:2]:
                d, u = own[j]
                if options.least <= row[j] < 0.97 and not book.gives_away(d, u):
                    found.append({"d": d, "a": u, "s": s, "t": title, "c": round(float(row[j]), 3)})
        print(start + len(part), len(found), flush=True)
        options.out.write_text("".join(json.dumps(f, ensure_ascii=False) + "\n" for f in found))


if __name__ == "__main__":
    main()
