#!/usr/bin/env python3
"""The instructed model's samples: what is drawn how often, over the corpus, the handbook and computed tasks.

    mix.py --corpus corpus.jsonl.xz --show 20
"""
import argparse, json, lzma, pathlib, random

import handbook, questions, samples, tasks

shares = dict(handbook=0.43, corpus=0.37, tasks=0.07, unanswered=0.09, bare=0.04)   # of samples


class Mix:
    def __init__(self, documents, seed, held_out=(), synonyms=None, near=None):
        if synonyms:
            handbook.synonyms.update(json.loads(pathlib.Path(synonyms).read_text()))
        self.rng, self.seed = random.Random(seed), seed
        rows = [json.loads(line) for line in lzma.open(near, "rt")] if near else []
        self.corpus = samples.Samples(documents, seed, refusals=0.06, near={r["a"].replace("`", ""): r["q"] for r in rows if "d" not in r})
        self.book = handbook.Handbook(self.rng, held_out=held_out, near=[r for r in rows if "d" in r])

    def task(self):
        """A problem whose answer is computed; most with the handbook's nearest passages, as retrieval would add them."""
        q, a, kind = tasks.draw(self.rng, self.seed)
        if self.book.forbidden(q):
            return None
        context = []
        if self.rng.random() < 0.8:
            picked = self.book.context(q)
            context = [(self.book.pages[p].title, self.book.pages[p].text) for p in picked]
            if sum(len(t) for _, t in context) > 6500:
                return None
        return context, [(q, a)], kind

    def documentation(self, most_turns):
        context, turns, kind = self.corpus.sample(most_turns)
        return context, [(handbook.reword(q, self.rng) if self.rng.random() < 0.35 else q, a) for q, a in turns], kind

    def bare(self):
        """A question without passages: that the model does not know (tasks aside) is what a reader of documents should say."""
        rng = self.rng
        if rng.random() < 0.5:
            made = self.corpus.ask_corpus(self.corpus.passage())
        else:
            page = self.book.pages[rng.choice(self.book.by_document[rng.choice(self.book.asked_documents())])]
            made = self.book.ask(page)
        if not made or self.book.forbidden(made[0]):
            return None
        return [], [(questions.disguise(" ".join(made[0].split()), rng), samples.ignorance)], "bare"

    def unanswered(self):
        if self.rng.random() < 0.4:
            q, context = self.book.open_question()
            return context, [(q, samples.refusal)], "unanswered"
        other = self.corpus.passage() if self.rng.random() < 0.7 else self.corpus.invented()[0]
        made = self.corpus.ask(other)
        if not made:
            return None
        q = questions.disguise(" ".join(made[0].split()), self.rng)
        context = self.book.unanswered(q)
        return (context, [(q, samples.refusal)], "unanswered") if context else None

    def sample(self, most_turns=1):
        """(context, [(question, answer)], kind)"""
        while True:
            kind = self.rng.choices(list(shares), shares.values())[0]
            made = {"handbook": lambda: self.book.sample(most_turns), "corpus": lambda: self.documentation(most_turns), "tasks": self.task,
                    "unanswered": self.unanswered, "bare": self.bare}[kind]()
            if made:
                return made


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--corpus", type=pathlib.Path, required=True)
    parser.add_argument("--synonyms", type=pathlib.Path)
    parser.add_argument("--near", type=pathlib.Path)
    parser.add_argument("--show", type=int, default=20)
    parser.add_argument("--parts", type=int, default=15)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    source = Mix(list(samples.read(options.corpus, "train", 0, options.parts)), options.seed, synonyms=options.synonyms, near=options.near)
    for _ in range(options.show):
        context, turns, kind = source.sample(4)
        print(f"--- {kind}: {[t for t, _ in context]}")
        for q, a in turns:
            print(f"Q: {q}\nA: {a}\n")


if __name__ == "__main__":
    main()
