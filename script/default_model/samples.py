#!/usr/bin/env python3
"""Question–context–answer samples in the form that the library's retrieval sends, from corpus documents and invented fact sheets.

    samples.py --corpus corpus.jsonl.xz --show 20 [--split valid]
"""
import argparse, json, lzma, pathlib, random, re

import facts, language, mixture, passages, questions

system = "Answer the question from the passages. Cite them as [1]. If they do not hold the answer, say so."
refusal = "The passages do not say."
ignorance = "I do not know."      # where there are no passages
sheets = (facts.company, facts.policy, facts.project, facts.loan, facts.sheet)
dictionaries = ("dict-gcide", "wordnet-base", "dict-foldoc", "dict-jargon", "dict-vera")


def prompt(context, question):
    """context: list of (title, text); without one the words of examples/evaluate --no-passages."""
    if not context:
        return f"<|im_start|>system\nAnswer the question.<|im_end|>\n<|im_start|>user\nQuestion: {question}<|im_end|>\n<|im_start|>assistant\n"
    listed = "\n\n".join(f"[{i}] {title}\n{text}" for i, (title, text) in enumerate(context, 1))
    return (f"<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n{listed}\n\nQuestion: {question}<|im_end|>\n"
            f"<|im_start|>assistant\n")


def read(path, split, part=0, parts=1):
    with lzma.open(path, "rt") as lines:
        for number, line in enumerate(lines):
            if number % parts == part:
                document = json.loads(line)
                if document["split"] == split:
                    yield document


class Samples:
    """An endless, seeded source of samples over a share of the corpus."""

    def __init__(self, documents, seed, refusals=0.1, near=None):
        """near: sentence without code marks → questions in other words (near.py)."""
        self.rng, self.refusals, self.near = random.Random(seed), refusals, near or {}
        self.documents = [d for d in documents if d["source"] not in dictionaries or self.rng.random() < 0.5]
        self.split = [None] * len(self.documents)
        self.mixer = mixture.Mixer(self.rng)
        weight = {"fortunes": 0.3, "anarchism": 0.5, "python-scipy-doc": 0.3, "python-sympy-doc": 0.2, "python-sklearn-doc": 0.4,
                  "linux-doc-6.1": 0.5, "wordnet-base": 0.15, "dict-gcide": 0.2, "python3.11-doc": 2, "postgresql-doc-15": 2,
                  "sqlite3-doc": 2, "gnucash-docs": 4, "libreoffice-help-en-us": 1.5, "gnumeric-doc": 2, "debian-handbook": 2}
        self.weights = [0]
        for d in self.documents:
            self.weights.append(self.weights[-1] + weight.get(d["source"], 1) * min(len(d["text"]), 20000))
        self.weights = self.weights[1:]

    def of_document(self):
        i = self.rng.choices(range(len(self.documents)), cum_weights=self.weights)[0]
        # Cutting is random: one in a few visits cuts the document anew, at other places.
        if self.split[i] is None or self.rng.random() < 0.1:
            self.split[i] = passages.split(self.documents[i], self.rng)
            for p in self.split[i]:
                p.known = [s for s in p.sentences if s.replace("`", "") in self.near]
                for s in p.sentences:
                    self.mixer.learn(s, p.title)
        return self.split[i]

    def passage(self):
        while True:
            found = self.of_document()
            if found:
                return self.rng.choice(found)

    def comparison(self):
        """Two definitions, asked for together: (context, [(question, answer with both citations)], kind)."""
        rng, family = self.rng, self.rng.choice([facts.ratio, facts.sql, facts.python, facts.sheet, facts.company])
        pages = [facts.article(rng, family) for _ in range(2)]
        if any(parts[0][0] not in text or parts[0][0].startswith("```") for _, text, parts, _ in pages) or pages[0][0] == pages[1][0]:
            return None
        lower = [questions.lower_first(title) if family is not facts.company else title for title, *_ in pages]
        a, b = rng.sample(range(2), 2)
        q = rng.choice(["What is the difference between {} and {}?", "How does {} differ from {}?", "Compare {} and {}.", "What are {} and {}?",
                        "What distinguishes {} from {}?", "What is the difference between a {} and a {}?"]).format(lower[a], lower[b])
        context = [(title, text) for title, text, *_ in pages]
        context += [(p.title, p.text) for p in (self.passage() for _ in range(rng.choice([0, 1, 2])))]
        order = rng.sample(range(len(context)), len(context))
        answer = " ".join(f"{pages[i][2][0][0]} [{order.index(i) + 1}]" for i in (a, b))
        return [context[i] for i in order], [(q, answer)], "compare"

    def ask_corpus(self, p):
        """(question, answer) about a corpus passage, or None."""
        rng, kind = self.rng, self.rng.random()
        if p.entries and kind < 0.35:
            term, gloss = rng.choice(p.entries)
            name = re.sub(r"\(.*", "", term).strip()
            if not 1 < len(name) < 50 or not 10 < len(gloss) < 300:
                return None
            verb = gloss.split()[0].lower()
            asks = [f"What is {name}?", f"What does {name} mean?", f"What does {name} do?", f"Explain {name}.", f"Define {name}.", f"{name}?",
                    f"What is {name} used for?", f"How does {name} work?", f"What is meant by {name}?", f"Describe {name}."]
            if verb in language.verbs or verb in language.base_of:
                asks += [f"How do I {questions.lower_first(questions.cut(gloss))}?", f"What can {questions.lower_first(questions.cut(gloss))}?"] * 2
            else:
                asks += [f"Which term means {questions.lower_first(questions.cut(gloss))}?", f"What is the word for {questions.lower_first(questions.cut(gloss))}?"]
            return rng.choice(asks), f"{term}: {gloss}"
        if p.codes and kind < 0.5:
            before, code = rng.choice(p.codes)
            words = language.content(before.split("```")[0])[:12] or language.content(p.title)
            if not words or before.startswith("```"):
                return None
            topic = " ".join(rng.sample(words, min(len(words), rng.choice([1, 2, 3, 4]))))
            goal = re.search(r"\b(?:to|can|you) (\w+ [^.:]{8,60})[.:]", before)
            asks = [f"Show an example of {topic}.", f"Give an example for {topic}.", f"Show the code for {topic}.", f"What does the code for {topic} look like?"]
            if goal:
                asks += [f"How do I {goal[1]} in code?", f"Show how to {goal[1]}.", f"Which code can {goal[1]}?"]
            return rng.choice(asks), code
        if not p.sentences:
            return None
        if p.known and rng.random() < 0.75:
            s = rng.choice(p.known)
            return rng.choice(self.near[s.replace("`", "")]), s
        if kind > 0.95 and len(p.title.split()) < 7 and language.stems(p.title) & language.stems(p.sentences[0]):
            t, count = questions.lower_first(p.title), rng.choice([1, 1, 2, 3])
            ask = [f"What is {t}?", f"What are {t}?", f"How does {t} work?", f"What is {t} about?"] if count == 1 else \
                  [f"Explain {t} in a few sentences.", f"Describe {t} in detail.", f"Tell me more about {t}.", f"Summarise {t}."]
            return rng.choice(ask), " ".join(p.sentences[:count])
        s = rng.choice(p.sentences)
        q = questions.from_sentence(s, p.title, rng, p.text)
        if not q or questions.ambiguous(q, s, p.sentences, rng):
            return None
        return q, s

    def ask(self, p):
        """(question, answer without citation) about a passage of any origin, or None."""
        rng = self.rng
        if not p.parts:
            return self.ask_corpus(p)
        if any(asks is None for _, asks in p.parts):
            return self.mixer.ask(p.title, p.parts)
        say, asks = rng.choice(p.parts)
        ranked = sorted(asks, key=lambda q: -len(language.stems(q) & language.stems(say)))
        touching = [q for q in ranked if language.stems(q) & language.stems(say)] or asks
        q = ranked[0] if rng.random() < 0.5 else rng.choice(touching if rng.random() < 0.8 else asks)
        return self.name(p, q), say

    def name(self, p, q):
        """The question with the article's title in it where several sheets of one family could answer."""
        if not p.named or p.title.lower() in q.lower():
            return q
        return self.rng.choice([f"{p.title}: {questions.lower_first(q)}", f"{q[:-1]} for {p.title}?", f"{q[:-1]} at {p.title}?",
                                f"In the case of {p.title}, {questions.lower_first(q)}"])

    def invented(self, family=None):
        family = family or self.rng.choice(facts.families)
        title, text, chosen, left = facts.article(self.rng, family)
        return passages.Passage(title, text, [], [], [], chosen, family in sheets), left

    def mixed(self, name=None):
        made = self.mixer.article(name)
        return passages.Passage(made[0], made[1], [], [], [], made[2]) if made else None

    def family(self):
        """(kind, first passage, neighbours, questions that the first passage leaves open)"""
        rng, draw = self.rng, self.rng.random()
        count = rng.choice([0, 1, 2, 2, 3, 4, 4])
        if draw < 0.25:
            family = rng.choice(facts.families)
            first, left = self.invented(family)
            others = [self.invented(family if rng.random() < 0.6 else None)[0] for _ in range(count)]
            return "facts", first, others, [q for _, asks in left for q in asks] if first.named else []
        if draw < 0.5:
            first = self.mixed()
            return "mixed", first, [m for m in (self.mixed() for _ in range(count)) if m], []
        pages = self.of_document()
        if not pages:
            return "text", None, [], []
        first = rng.choice(pages)
        if self.near and rng.random() < 0.7:
            first = rng.choice([p for p in pages if p.known] or pages)
        pool = [p for p in pages if p is not first]
        near = rng.sample(pool, min(len(pool), rng.randrange(count + 1)))
        while len(near) < count:
            near.append(self.passage() if rng.random() < 0.8 else self.invented()[0])
        return "text", first, near, []

    def unanswered(self, context):
        """A question of another passage, of whose words the context shares few; or None."""
        other = self.passage() if self.rng.random() < 0.6 else self.invented()[0] if self.rng.random() < 0.5 else self.mixed()
        made = self.ask(other) if other else None
        if not made:
            return None
        asked = language.stems(made[0])
        shared = max(len(asked & language.stems(p.title + " " + p.text)) for p in context)
        return made[0] if asked and shared <= 0.5 * len(asked) else None

    def sample(self, most_turns=1):
        """(context, [(question, answer)], kind): the first turn is about the passage around which the context was chosen."""
        rng = self.rng
        while True:
            if rng.random() < 0.03 and (found := self.comparison()):
                return found
            kind, first, near, left = self.family()
            if first is None or len(first.text) + sum(len(p.text) for p in near) > 6000:
                continue
            context = [first] + near
            rng.shuffle(context)
            turns, used = [], set()
            for attempt in range(3 * most_turns):
                p = first if attempt == 0 else rng.choice(context)
                draw = rng.random()
                if attempt == 0 and left and draw < 1.2 * self.refusals:
                    made = self.name(first, rng.choice(left)), refusal
                elif draw < self.refusals:
                    q = self.unanswered(context)
                    made = (q, refusal) if q else None
                else:
                    made = self.ask(p)
                    if made and (made[1] in used or any(made[1] in o.text for o in context if o is not p)):
                        made = None
                if made is None:
                    if attempt == 0:
                        break
                    continue
                q, a = made
                used.add(a)
                if a != refusal:
                    a += ("\n" if a.endswith("```") else " ") + f"[{context.index(p) + 1}]"
                elif not turns:
                    kind = "refusal"
                if not turns and a.startswith("```"):
                    kind = "code"
                turns.append((questions.disguise(" ".join(q.split()), rng, p.title), a))
                if len(turns) == most_turns:
                    break
            if turns:
                return [(p.title, p.text) for p in context], turns, kind


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--corpus", type=pathlib.Path, required=True)
    parser.add_argument("--split", default="train")
    parser.add_argument("--show", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    source = Samples(list(read(options.corpus, options.split, 0, 1 if options.split == "valid" else 15)), options.seed)
    for _ in range(options.show):
        context, turns, kind = source.sample(4)
        print(f"--- {kind}, {len(context)} passages")
        for q, a in turns:
            print(f"Q: {q}\nA: {a}\n")


if __name__ == "__main__":
    main()
