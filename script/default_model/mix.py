#!/usr/bin/env python3
"""The instructed model's samples: what is drawn how often, over the corpus, the handbook and computed tasks.

    mix.py --corpus corpus.jsonl.xz --show 20
"""
import argparse, json, pathlib, random

import handbook, questions, samples, short, tasks

shares = dict(handbook=0.53, corpus=0.31, tasks=0.08, unanswered=0.03, bare=0.05)   # of samples
second = dict(handbook=0.62, corpus=0.23, tasks=0.08, unanswered=0.02, bare=0.05)   # in the second stage


class Mix:
    def __init__(self, documents, seed, held_out=(), synonyms=None, pairs=None, stage=1):
        short.enabled = stage == 2
        if synonyms:
            handbook.synonyms.update(json.loads(pathlib.Path(synonyms).read_text()))
        self.rng, self.seed = random.Random(seed), seed
        self.corpus = samples.Samples(documents, seed, refusals=0.04)
        self.book = handbook.Handbook(self.rng, held_out=held_out, pairs=pairs)

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
        """A question without passages: the first stage answers from what it has read, the second says that it does not know (tasks aside)."""
        rng = self.rng
        if rng.random() < 0.5:
            made = self.corpus.ask_corpus(self.corpus.passage())
        else:
            page = self.book.pages[rng.choice(self.book.by_document[rng.choice(self.book.asked_documents())])]
            made = self.book.ask(page)
        if not made or self.book.forbidden(made[0]):
            return None
        return [], [(questions.disguise(" ".join(made[0].split()), rng), samples.ignorance if short.enabled else made[1])], "bare"

    def unanswered(self):
        if short.enabled and self.rng.random() < 0.5:
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
            kind = self.rng.choices(list(shares), (second if short.enabled else shares).values())[0]
            made = {"handbook": lambda: self.book.sample(most_turns), "corpus": lambda: self.documentation(most_turns), "tasks": self.task,
                    "unanswered": self.unanswered, "bare": self.bare}[kind]()
            if made:
                return made


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--corpus", type=pathlib.Path, required=True)
    parser.add_argument("--synonyms", type=pathlib.Path)
    parser.add_argument("--pairs", type=pathlib.Path)
    parser.add_argument("--show", type=int, default=20)
    parser.add_argument("--parts", type=int, default=15)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    source = Mix(list(samples.read(options.corpus, "train", 0, options.parts)), options.seed, synonyms=options.synonyms, pairs=options.pairs)
    for _ in range(options.show):
        context, turns, kind = source.sample(4)
        print(f"--- {kind}: {[t for t, _ in context]}")
        for q, a in turns:
            print(f"Q: {q}\nA: {a}\n")


if __name__ == "__main__":
    main()
