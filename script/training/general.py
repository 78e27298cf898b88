"""General samples over passages of free documentation and of the handbook: extractive answers, abstaining, summaries, rewrites."""
import re

from . import ask, rewrite
from .draw import Draw
from .passage import language, refusal, system

# Shares of the kinds; the rest of a kind that runs dry (few passages hold contractions) goes to extractive answers.
shares = {"extract": 0.42, "cite": 0.16, "abstain": 0.1, "summary_one": 0.05, "summary_two": 0.04, "key_points": 0.03, "bullets": 0.04, "numbered": 0.03,
          "shorter": 0.04, "simpler": 0.04, "title": 0.03, "formal": 0.02}
frames = ["Answer the question from the text.", "Read the passage and answer.", "Use only the text below to answer.", "Answer with the words of the text.", "Find the answer in the text.",
          "Which part of the text answers the question?", "Answer briefly, from the text.", "Quote the answer from the text."]
strict = " If it does not hold the answer, say: " + refusal


def titled(passage):
    return f"{passage.title}\n{passage.text}"


def asked(d, question, context, always_strict=False):
    """(instruction, input) in one of two forms."""
    note = strict if always_strict or d.chance(0.3) else ""
    if d.chance(0.55):
        return question + (" Answer from the text." + note if note else ""), context
    return d.pick(*frames) + note, f"{context}\n\nQuestion: {question}"


class Source:
    """Passages, and those of the same source that share words, for contexts with more than one passage."""

    def __init__(self, passages):
        self.passages = passages
        self.by_source = {}
        for index, passage in enumerate(passages):
            self.by_source.setdefault(passage.source, []).append(index)

    def pick(self, d):
        """The handbook is small beside the documentation, and questions are about it: it gets an eighth."""
        own = self.by_source.get("handbook")
        return self.passages[d.rng.choice(own) if own and d.chance(0.125) else d.rng.randrange(len(self.passages))]

    def other(self, d, passage):
        found = self.passages[d.rng.choice(self.by_source[passage.source])]
        return None if found is passage or found.title == passage.title else found


def absent(question, slots, context):
    """Words of the question that carry its subject and occur nowhere in the context."""
    lower = context.lower()
    key = slots.get("x") or slots.get("bare") or slots.get("t") or slots.get("c") or slots.get("goal") or slots.get("what") or slots.get("y") or ""
    carrying = [w for w in dict.fromkeys(language.content(key)) if len(w) > 3 and w in question]
    missing = [w for w in carrying if w.lower() not in lower]
    return missing if 2 * len(missing) >= len(carrying) else []


def sample(source, seed, kind, serial):
    d = Draw(seed, "general", kind, serial)
    passage = source.pick(d)
    row = {"category": "general", "template": "", "kind": kind, "instruction": "", "input": "", "output": "", "check": {"source": passage.source}}
    if kind not in ("extract", "cite", "abstain"):
        made = rewrite.make(d, kind, passage)
        if not made:
            return None
        which = d.rng.randrange(len(rewrite.asks[kind]))
        return row | {"template": f"general.{kind}.{which + 1}", "instruction": rewrite.asks[kind][which], "input": made[0], "output": made[1]}
    made = ask.question(d, passage)
    if not made:
        return None
    name, question, answer, sentence, slots = made
    row["template"] = f"general.{kind}.{name}"
    if kind == "extract":
        instruction, context = asked(d, question, d.pick(titled(passage), passage.text))
        return row | {"instruction": instruction, "input": context, "output": answer}
    others = [o for o in (source.other(d, passage) for _ in range(d.whole(1, 2))) if o]
    if not others:
        return None
    if kind == "abstain":
        context = "\n\n".join(f"[{i}] {titled(o)}" for i, o in enumerate(others, 1)) if d.chance(0.6) else titled(others[0])
        missing = absent(question, slots, context)
        # Half of the subject's words are missing, and the context may not share the answer's words either.
        stems = language.stems(sentence)
        if not missing or name.startswith(("blank", "term", "subject_verb")) or len(stems & language.stems(context)) > 0.4 * len(stems):
            return None
        instruction, context = (system, f"{context}\n\nQuestion: {question}") if d.chance(0.5) else asked(d, question, context, True)
        return row | {"instruction": instruction, "input": context, "output": refusal, "check": row["check"] | {"absent": missing}}
    parts = [passage] + others
    d.rng.shuffle(parts)
    if any(answer in o.text for o in others) or sum(len(o.text) for o in parts) > 4500:
        return None
    context = "\n\n".join(f"[{i}] {titled(o)}" for i, o in enumerate(parts, 1))
    return row | {"instruction": system, "input": f"{context}\n\nQuestion: {question}", "output": f"{answer} [{parts.index(passage) + 1}]"}
