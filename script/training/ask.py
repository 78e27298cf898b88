"""Questions about one sentence of a passage. A rule reads one form of sentence; each of its wordings is a template of its own.

The answer is the sentence, or a part of it, word for word, so that it can be checked against the passage.
"""
import re

from .passage import language, questions

low, base_of = questions.lower_first, language.base_of
# A subject that starts so is none, or means something outside of the sentence.
unclear = re.compile(r"(?:Its?|Their|His|Her|Our|My|Your|Most|Many|Several|Another|Other|One|Two|Only|No|Any|Every|After|Before|During|From|At|Of|Without|Within|"
                     r"Because|Although|While|Since|Unlike|Under|Over|Through|Between|Where|Either|Neither|Instead|Now|Also|Thus|Finally|First|Second|Then|Do|Don't|"
                     r"Once|Until|Even|Just|Otherwise|Rather|Depending|Using|Setting|Running|Like|Again|Likewise|Similarly|Afterwards|Unless|Though|Whether)\b")
# Words that show that the subject went past its end.
inside = re.compile(r"\b(?:that|which|who|whose|will|can|may|must|should|is|are|was|were|if|when|and|or|also|normally|has|have|does|do|not|to|by|it|they|you)\b")
dangling = {"the", "a", "an", "of", "to", "for", "and", "or", "that", "are", "is", "in", "on", "with", "by", "at", "be", "from", "as", "not", "only", "it", "its", "their", "this", "than", "into", "can", "will"}


def cut(text, words=14):
    """The first clause of a text; no loose word at its end."""
    kept = questions.cut(text, words).split()
    while kept and kept[-1].lower() in dangling:
        kept.pop()
    return " ".join(kept)


def named(text):
    return questions.subject_ok(text) and len(text) > 3 and not unclear.match(text) and not inside.search(text)


def definition(s):
    m = re.match(r"(.{2,60}?) (is|are) ((?:an?|the|one of)\b.{12,})", s)
    if m and named(m[1]):
        x = low(m[1])
        return dict(x=x, be=m[2], bare=re.sub(r"^(an?|the) ", "", x)), s


def term(s):
    m = re.match(r"(.{3,50}?) (is|are) ((?:an?|the)\b.{20,})", s)
    if m and named(m[1]):
        return dict(be=m[2], what=cut(m[3])), m[1]


def action(s):
    m = re.match(r"(.{2,60}?) (\w+s) (.{12,})", s)
    # Many verbs are plural nouns too ("the values of"): what follows tells.
    if m and m[2] in base_of and named(m[1]) and not re.match(r"(?:is|are|was|were|of|has|have|and|or|in|for|that|can|must|should|may|will|do|not|stand)\b|\(", m[3]):
        return dict(x=low(m[1]), b=base_of[m[2]], v=m[2], y=cut(m[3]), short=cut(m[3], 6)), s


def reason(s):
    m = re.match(r"(.{2,60}?) (is|are|can|must|should|cannot|will) (.{8,}?),? (?:because|so that|in order to|since) .{8,}", s)
    if m and named(m[1]) and m[2] != "cannot":
        return dict(x=low(m[1]), aux=m[2], y=cut(m[3])), s


def condition(s):
    m = re.match(r"(If|When|Once|Unless) (.{8,90}?), (?:then )?(.{12,})", s)
    if m and not re.match(r"(this|that|it|they|so|not)\b", m[2]):
        return dict(w=m[1].lower(), c=cut(m[2]), main=low(cut(m[3]))), s


def purpose(s):
    m = re.match(r"(?:In order to|To) (.{8,90}?), (.{12,})", s)
    if m:
        return dict(goal=cut(m[1])), s


def use(s):
    m = re.match(r"(.{2,60}?) (?:is|are|can be) (?:often |commonly |usually |mainly )?used (to|for|by|when) (.{8,})", s)
    if m and named(m[1]):
        return dict(x=low(m[1])), s


def advice(s):
    m = re.match(r"(.{2,60}?) (can|must|should|may|cannot|must not|should not) (\w+ .{8,})", s)
    if m and named(m[1]) and not m[3].startswith("be "):
        return dict(x=low(m[1]), aux=m[2], y=cut(m[3])), s


def blank(s):
    """A gap for a figure or a name written like code; the answer is what was taken out."""
    m = re.search(r"(?<![\w.`(/-])(\d[\d,.]*\d%?|\d%|[A-Z]{3,}(?:_[A-Z]+)*|[a-z]+_[a-z_]+\w(?:\(\))?|[A-Z][a-z]+Error|\w+\(\))(?![\w.`/-]*\w)", s)
    if m and s.count(m[1]) == 1 and 6 < len(s.split()) < 40:
        return dict(gap=s.replace(m[1], "____")), m[1]


def mention(s):
    found = [t for t in re.findall(r"`[^`]+`|\b[A-Za-z]+_\w+\b|\b[A-Z]{3,}(?: [A-Z]{3,})*\b|\b\w+\(\)|\b[A-Z][a-z]+[A-Z]\w+\b", s) if len(t) > 3]
    if found:
        return dict(t=found[0].strip("`")), s


def subject_verb(s):
    m = re.match(r"(.{2,60}?) (has|contains|includes|returns|requires|creates|allows|provides|supports|raises|uses|shows|means|represents) (.{8,})", s)
    if m and named(m[1]):
        return dict(v=m[2], y=cut(m[3], 9)), m[1]


# rule → wordings; {Name} capitalises a slot. About one wording in twenty is held out for validation.
rules = {
    definition: ["What {be} {x}?", "Define {bare}.", "What does the term {bare} mean?", "Explain {bare} with the words of the text.", "How does the text describe {bare}?", "What is said about what {x} {be}?", "Give the definition of {bare}.", "What {be} {x}, according to the text?"],
    term: ["Which term does the text use for {what}?", "What {be} {what}?", "Name what {be} {what}.", "What does the text call {what}?", "Complete with a term of the text: ____ {be} {what}"],
    action: ["What does {x} {b}?", "What does {x} do?", "Does {x} {b} {y}?", "How does {x} {b} {short}?", "What is said about {x} and what it {v}?", "Describe what {x} does.", "What {v} {short}?"],
    reason: ["Why {aux} {x} {y}?", "For what reason {aux} {x} {y}?", "Explain why {x} {aux} {y}.", "Which reason is given that {x} {aux} {y}?", "What is the reason {x} {aux} {y}?"],
    condition: ["What happens {w} {c}?", "What is the consequence {w} {c}?", "{W} {c}, what follows?", "Describe what the text says for the case: {w} {c}.", "In which case does this hold: {main}?", "What should one expect {w} {c}?"],
    purpose: ["How do I {goal}?", "How can I {goal}?", "What is necessary to {goal}?", "What must be done to {goal}?", "I want to {goal}. What do I do?", "Tell me how to {goal}."],
    use: ["What is {x} used for?", "What is the purpose of {x}?", "When would I use {x}?", "What can be done with {x}?", "For what is {x} meant?"],
    advice: ["What {aux} {x} do?", "Which rule does the text give for {x}?", "What is said about what {x} {aux} do?", "{Aux} {x} {y}?", "What does the text state about {x}?"],
    blank: ["Fill in the blank from the text: {gap}", "Which word or number belongs into the gap? {gap}", "Complete the sentence with what the text says: {gap}", "What is missing here? {gap}", "Replace ____ by the right expression of the text: {gap}"],
    mention: ["Which sentence speaks of {t}?", "Quote the sentence about {t}.", "What does the text say about {t}?", "Find the statement that concerns {t}.", "What is written on {t}?"],
    subject_verb: ["What {v} {y}?", "Which thing {v} {y}?", "Name the subject: what {v} {y}?", "According to the text, what {v} {y}?"],
}
weights = {definition: 5, term: 2, action: 3, reason: 6, condition: 4, purpose: 6, use: 5, advice: 2, blank: 1.5, mention: 1.5, subject_verb: 1.5}


def question(d, passage):
    """(template, question, answer, sentence, slots) about one sentence of the passage, or None."""
    sentence = d.rng.choice(passage.lines)
    found = [(rule, made) for rule in rules if (made := rule(sentence))]
    if not found:
        return None
    rule, (slots, answer) = d.rng.choices(found, [weights[r] for r, _ in found])[0]
    if rule in (blank, mention) and d.chance(0.5):
        return None   # they fit nearly every sentence and would outweigh the others
    which = d.rng.randrange(len(rules[rule]))
    slots |= {k.capitalize(): v[:1].upper() + v[1:] for k, v in slots.items() if k in ("w", "aux")}
    asked = rules[rule][which].format(**slots)
    asked = re.sub(r"\s+", " ", asked).replace(" ?", "?")
    if any(len(v) < 3 for k, v in slots.items() if k in ("c", "y", "what", "goal", "short", "main")):
        return None
    if not 8 <= len(asked) <= 240 or asked.count("(") != asked.count(")"):
        return None
    # Another sentence of the passage may not fit the question as well as the one that is meant.
    meant = len(language.stems(asked) & language.stems(sentence))
    if any(len(language.stems(asked) & language.stems(o)) >= meant for o in passage.lines if o != sentence):
        return None
    if rule in (term, subject_verb, blank) and passage.text.count(answer) > (3 if rule is blank else 6):
        return None
    return f"{rule.__name__}.{which + 1}", asked, answer, sentence, slots
