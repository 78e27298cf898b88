#!/usr/bin/env python3
"""The hand-written questions that training holds out, as a question set for examples/evaluate.

    held_out.py --out held_out.jsonl [--count 200]

Categories: "untouched" where no hand-written question of the training data asks for the sentence, "reworded" where others do.
"""
import argparse, json, pathlib, random

import handbook


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--count", type=int, default=200)
    options = parser.parse_args()
    book = handbook.Handbook(random.Random(3))
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
