#!/usr/bin/env python3
"""The hand-written questions that training holds out, as a question set for examples/evaluate.

    held_out.py --out held_out.jsonl [--count 200]
    held_out.py --encoder all-MiniLM-L6-v2          how often the encoder alone finds the sentence in the right document

Categories: "untouched" where no hand-written question of the training data asks for the sentence, "reworded" where others do.
"""
import argparse, json, pathlib, random

import handbook


def ranked(book, folder):
    """Shares of the held-out questions whose sentence the encoder ranks first, and among the first three, of the right document's."""
    import torch, near
    encode = near.Encoder(folder, "cuda" if torch.cuda.is_available() else "cpu")
    first = third = 0
    for document, answer, asked in book.development:
        units = [u for _, _, u in handbook.units(book.documents[document][2]) if not u.startswith("#")]
        vectors = encode([asked[0], *units])
        place = (vectors[1:] @ vectors[0]).argsort(descending=True).tolist().index(units.index(answer))
        first += place == 0; third += place < 3
    return first / len(book.development), third / len(book.development)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=pathlib.Path)
    parser.add_argument("--encoder", type=pathlib.Path)
    parser.add_argument("--count", type=int, default=200)
    options = parser.parse_args()
    book = handbook.Handbook(random.Random(3))
    if options.encoder:
        return print(len(book.development), "questions; first, among three: %.3f %.3f" % ranked(book, options.encoder))
    trained = {(d, a) for d, rows in book.written.items() for a, _ in rows}
    rows = [(d, a, q[0], None) for d, a, q in book.development] + book.held_phrases
    random.Random(8).shuffle(rows)
    made = []
    for d, a, q, s in rows:
        if a.startswith("```"):
            continue
        accepted = [x for x in (s, a) if x]
        made.append({"id": f"held-{len(made):03d}", "category": "reworded" if (d, a) in trained else "untouched", "question": book.named(q, book.documents[d][0]),
                     "kind": "text", "answer": accepted[0], "alternatives": accepted[1:], "documents": [d]})
    options.out.write_text("".join(json.dumps(m, ensure_ascii=False) + "\n" for m in made[:options.count]))
    print(len(made), "questions,", min(len(made), options.count), "written")


if __name__ == "__main__":
    main()
