"""Keeps the questions of the evaluation out of the training data.

Words are compared in lower case without punctuation. Instructions, questions and outputs may share no run of 8 words with a question of
examples/data/*questions*.jsonl, contexts none of 13 (they are quoted from documents); of a shorter question, the whole must not occur.
A question is also held to be taken when half of all content words of both are shared. No output may hold the whole reference answer of four
or more words: the document that holds it may be a context, but to be asked for that sentence would be to learn the answer.
"""
import json, re

short, long = 8, 13
near = 0.5   # Jaccard of content stems from which two questions count as the same
stop = set("""a an the and or but of to in on at by for with from as is are was were be been it its this that these those do does did have has had which who
what when where why how all any some i you we my your our me if not no so than can could may might must shall should will would there their they one""".split())


def words(text):
    return re.findall(r"[a-z0-9]+", text.lower())


def runs(text_words, length):
    return {tuple(text_words[i:i + length]) for i in range(len(text_words) - length + 1)}


def stems(text):
    return {re.sub(r"(ing|ed|es|s|ly)$", "", w)[:8] for w in words(text) if w not in stop}


class Guard:
    def __init__(self, texts, answers=()):
        """texts: the questions; answers: what is accepted as their answers."""
        self.short, self.long, self.stems, self.lengths = {}, {}, [], set()
        self.answers = sorted({f" {' '.join(words(a))} " for a in answers if len(words(a)) >= 4})
        for text in texts:
            w = words(text)
            if len(w) < 3:
                continue
            for table, length in ((self.short, short), (self.long, long)):
                for run in runs(w, min(length, len(w))):
                    table[run] = text
                    self.lengths.add(len(run))
            self.stems.append((stems(text), text))

    @classmethod
    def read(cls, folder):
        """All questions of the folder's question files; malformed lines are refused with their number."""
        texts, answers = [], []
        for file in sorted(folder.glob("*questions*.jsonl")):
            for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
                try:
                    row = json.loads(line)
                    texts.append(row["question"])
                    answers += [a for a in [row.get("answer"), *row.get("alternatives", [])] if isinstance(a, str)]
                except (ValueError, KeyError, TypeError) as error:
                    raise SystemExit(f"{file}:{number}: no question ({type(error).__name__}: {error})") from None
        return cls(texts, answers)

    def shared(self, text, table):
        """The question of which the text holds a run, or None."""
        w = words(text)
        for length in self.lengths:
            for i in range(len(w) - length + 1):
                if (run := tuple(w[i:i + length])) in table:
                    return table[run]
        return None

    def close(self, text):
        """The question that asks for nearly the same words, or None."""
        own = stems(text)
        for other, question in self.stems:
            if len(own & other) >= near * len(own | other) and other:
                return question
        return None

    def finds(self, row):
        """Why a sample may not be used, or None."""
        context, _, question = row["input"].partition("\n\nQuestion: ")
        for name, text, table in (("instruction", row["instruction"], self.short), ("question", question, self.short), ("output", row["output"], self.short), ("input", context, self.long)):
            if text and (found := self.shared(text, table)):
                return f"{name} overlaps with the question {found!r}"
        output = f" {' '.join(words(row['output']))} "
        for answer in self.answers:
            if answer in output:
                return f"the output holds the reference answer{answer}"
        for text in (question, row["instruction"]):
            if text and (found := self.close(text)):
                return f"asks nearly the same as {found!r}"
        return None
