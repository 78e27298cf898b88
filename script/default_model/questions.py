"""Questions from sentences: each rule reads one form of sentence and writes questions that this sentence answers."""
import re

import language
from language import base_of, content

pronouns = {"it", "this", "that", "these", "those", "there", "they", "he", "she", "we", "you", "i", "here", "such", "what", "if", "when",
            "note", "but", "and", "for", "in", "as", "to", "by", "on", "with", "however", "both", "some", "each", "see", "all", "one"}
lead = re.compile(r"^(?:However|Therefore|Thus|Also|Then|Hence|Finally|Generally|Usually|Moreover|Instead|Furthermore|In general|"
                  r"In addition|For example|For instance|Normally|Typically|In this case|In particular|As a result|By default),\s+")


def lower_first(text):
    return text if re.match(r"[A-Z]{2}|[A-Z]\w*[A-Z_(.]|I\b|[`\"]", text) else text[:1].lower() + text[1:]


def cut(text, words=14):
    """The first clause of a text, without its end mark."""
    text = re.split(r"(?:[,;:—]| \(| which | because | so that | if | when | unless | while | whereas | but )", text.strip())[0]
    return " ".join(text.rstrip(".").split()[:words])


def subject_ok(s):
    words = s.split()
    return 0 < len(words) <= 7 and words[0].lower().strip("`\"") not in pronouns and not re.search(r"[,;:]", s)


def rules(s, title):
    """Yields (weight, question templates) for a sentence; templates hold no placeholders any more."""
    s = lead.sub("", s).rstrip(".!? ")
    s = s[:1].upper() + s[1:]
    low = lower_first(s)
    m = re.match(r"(.{2,70}?) (is|are) ((?:an?|the|any|one of|another)\b.*)", s)
    if m and subject_ok(m[1]):
        x = lower_first(m[1]); bare = re.sub(r"^(an?|the) ", "", x)
        yield 6, [f"What {m[2]} {x}?"] * 4 + [f"Define {bare}.", f"What does {bare} mean?", f"What is meant by {bare}?", f"{bare}?",
                  f"What is the definition of {bare}?", f"What exactly {m[2]} {x}?", f"Explain the term {bare}.", f"What {m[2]} {bare}?"]
        if re.search(r" (that|which) ", m[3]):
            yield 3, [f"What do {x} do?" if m[2] == "are" else f"What does {x} do?"]
        yield 3, [f"What {m[2]} {cut(m[3])}?", f"Which term means {cut(m[3])}?", f"What do you call {cut(m[3])}?", f"What is the name for {cut(m[3])}?"]
    m = re.match(r"(.{2,60}?) (refers to|means|denotes|represents|stands for|describes) (.*)", s)
    if m and subject_ok(m[1]):
        x = lower_first(m[1]); verb = {"refers to": "refer to", "stands for": "stand for"}.get(m[2], m[2][:-1])
        yield 5, [f"What does {x} {verb}?"] * 2 + [f"What is {x}?", f"What does {x} mean?", f"What is the meaning of {x}?"]
    m = re.match(r"(.{2,70}?) (\w+s) (.*)", s)
    if m and m[2] in base_of and subject_ok(m[1]):
        x, b = lower_first(m[1]), base_of[m[2]]
        yield 5, [f"What does {x} {b}?", f"What does {x} do?", f"What does {x} {b}?", f"What is {x} for?", f"What {m[2]} {cut(m[3])}?",
                  f"What {m[2]} {cut(m[3], 7)}?", f"Does {x} {b} {cut(m[3])}?", f"How does {x} {b} {cut(m[3], 8)}?"]
        if m[1].lower().startswith(("the ", "a ", "an ")):
            noun = m[1].split()[-1]
            yield 2, [f"Which {noun} {m[2]} {cut(m[3])}?"]
        if re.search(r"\b(because|since|so that|in order to|due to|to avoid|to prevent|therefore)\b", s):
            yield 7, [f"Why does {x} {b} {cut(m[3])}?", f"For what reason does {x} {b} {cut(m[3], 8)}?"]
        if re.search(r"\b(when|if|unless|until|once|after|before)\b", m[3]):
            yield 4, [f"When does {x} {b} {cut(m[3])}?", f"Under what condition does {x} {b} {cut(m[3], 8)}?"]
        if re.search(r"\bby \w+ing\b|\busing\b", m[3]):
            yield 5, [f"How does {x} {b} {re.split(' by | using ', m[3])[0]}?"]
    m = re.match(r"(.{2,70}?) (is|are|was|were|can|must|should|may|will|cannot|could) (.*)", s)
    if m and subject_ok(m[1]):
        x, rest, aux = lower_first(m[1]), cut(m[3]), m[2]
        flip = f"{'can' if aux == 'cannot' else aux} {x} {'not ' if aux == 'cannot' else ''}{rest}"
        yield 2, [flip[0].upper() + flip[1:] + "?"]
        if aux in ("can", "must", "should", "may", "will", "could"):
            yield 3, [f"What {aux} {x} do?", f"What {aux} {x} {' '.join(rest.split()[:2])}?"]
        if re.search(r"\b(because|since|so that|in order to|due to|to avoid|to prevent)\b", s):
            yield 7, [f"Why {flip}?", f"What is the reason that {x} {aux} {rest}?"]
        if re.search(r"\b(when|if|unless|until|once|after|before)\b", m[3]):
            yield 4, [f"When {flip}?", f"In which case {flip}?"]
        if re.search(r"\bby\b|\bwith\b|\busing\b|\bas\b| = |/|\bfrom\b", m[3]) and aux in ("is", "are", "can", "was"):
            part = re.split(r" by | with | using | as | from ", m[3])[0]
            yield 6, [f"How {aux} {x} {cut(part, 8)}?", f"How do you {base_word(cut(part, 1))} {x}?"]
        if re.search(r"\b(in|on|at|under|inside)\b", m[3]) and re.search(r"stored|located|found|defined|kept|placed|held|written", m[3]):
            yield 4, [f"Where {aux} {x} {cut(re.split(' in | on | at | under | inside ', m[3])[0])}?"]
    m = re.match(r"(.{2,70}?) (?:is|are|can be|may be) (?:often |commonly |usually )?used (to|for|as|in|by|when) (.*)", s)
    if m and subject_ok(m[1]):
        x = lower_first(m[1])
        yield 7, [f"What is {x} used for?", f"What is the purpose of {x}?", f"Why would I use {x}?", f"When should I use {x}?"]
        if m[2] == "to":
            yield 6, [f"How do I {cut(m[3])}?", f"How can I {cut(m[3])}?", f"What do I use to {cut(m[3])}?", f"Which one should I use to {cut(m[3])}?"]
    m = re.match(r"(?:In order to|To) (.*?), (.*)", s)
    if m:
        yield 8, [f"How do I {cut(m[1])}?", f"How can I {cut(m[1])}?", f"How to {cut(m[1])}?", f"What should I do to {cut(m[1])}?",
                  f"What is the way to {cut(m[1])}?", f"I want to {cut(m[1])}. What do I do?"]
    m = re.match(r"You (?:can|may|could|should) (?:also |then )?(\w+ .*)", s)
    if m:
        goal = re.split(r" by | using | with ", m[1])[0]
        yield 6, [f"How can I {cut(goal)}?", f"How do I {cut(goal)}?", f"Can I {cut(m[1])}?", f"How to {cut(goal, 8)}?"]
    m = re.match(r"(If|When|Whenever|Once|After|Before|Unless) (.*?), (?:then )?(.*)", s)
    if m:
        c = cut(m[2]); w = m[1].lower()
        yield 7, [f"What happens {w} {c}?", f"What happens {w} {c}?", f"What {w} {c}?", f"What is the effect {w} {c}?"]
        yield 3, [f"When is it that {lower_first(cut(m[3]))}?", f"In which situation does the following hold: {lower_first(cut(m[3]))}?"]
        main = re.match(r"(.{2,60}?) (is|are|can|must|should|will|may) (.*)", lower_first(m[3]))
        if main and subject_ok(main[1]):
            yield 7, [f"When {main[2]} {main[1]} {cut(main[3])}?", f"In which case {main[2]} {main[1]} {cut(main[3], 6)}?", f"How can it be that {main[1]} {main[2]} {cut(main[3], 6)}?"]
        main = re.match(r"(.{2,60}?) (\w+s) (.*)", lower_first(m[3]))
        if main and main[2] in base_of and subject_ok(main[1]):
            yield 6, [f"When does {main[1]} {base_of[main[2]]} {cut(main[3])}?", f"Why does {main[1]} {base_of[main[2]]} {cut(main[3], 6)}?"]
    m = re.match(r"(.{10,}?) (if|when|unless) (.{8,})", s)
    if m and not re.match(r"(If|When)\b", s):
        yield 3, [f"What happens {m[2]} {cut(m[3])}?", f"What {m[2]} {cut(m[3])}?"]
    if re.search(r"\b(difference|differs?|unlike|whereas|in contrast|rather than|compared|while|but)\b", s):
        terms = list(dict.fromkeys(re.findall(r"`[^`]+`|\b[a-z_]+\(\)|\b[A-Z]{3,}(?: [A-Z]{3,})*\b|\b\w+_\w+\b", s)))
        if len(terms) >= 2:
            a, b = terms[:2]
            yield 9, [f"What is the difference between {a} and {b}?", f"How does {a} differ from {b}?", f"{a} or {b}?", f"Compare {a} and {b}."]
    m = re.search(r"\b(advantage|disadvantage|benefit|drawback|limitation|purpose|reason|goal|result|effect|cause|formula|default|risk|rule|"
                  r"problem|role|meaning|example|cost|maximum|minimum|syntax)s?\b", low)
    if m:
        noun = m[1]
        about = [w for w in content(low) if w.lower() != noun][:3]
        if about:
            yield 4, [f"What is the {noun} of {about[0]}?", f"What is the {noun} for {' '.join(about[:2])}?", f"Name a {noun} of {' '.join(about)}."]
    m = re.search(r"\b(\d[\d.,]*%?|two|three|four|five|six|seven|eight|ten|twelve|hundred|thousand) ([a-z]{3,}s)\b", low)
    if m:
        others = [w for w in content(low.replace(m[0], "")) if len(w) > 3][:3]
        yield 7, [f"How many {m[2]} {' '.join(others)}?", f"How many {m[2]} are there for {' '.join(others[:2])}?", f"What is the number of {m[2]} for {' '.join(others)}?"]
    m = re.match(r"The (\w+(?: \w+)?) of (.{3,50}?) (is|are|depends|was) (.*)", s)
    if m:
        yield 6, [f"What {'is' if m[3] == 'depends' else m[3]} the {m[1]} of {m[2]}?", f"Tell me the {m[1]} of {m[2]}.", f"{m[2]}: what {m[1]}?"]
    m = re.search(r"(such as|for example|including|e\.g\.,?) (.{5,})", s)
    if m:
        nouns = content(s[:m.start()])[-2:]
        if nouns:
            yield 4, [f"Give examples of {' '.join(nouns)}.", f"What are examples of {' '.join(nouns)}?", f"Which {' '.join(nouns)} are there?"]


def from_term(s, text, rng):
    """Asks for the one sentence of a passage that holds a code-like or rare term."""
    terms = [t.strip("`.,;:()\"'") for t in s.split()]
    terms = [t for t in terms if len(t) > 3 and t.lower() not in language.stop and text.lower().count(t.lower()) == 1
             and re.search(r"[A-Z]{2}|\w\(|_", t)]
    if not terms:
        return None
    t = rng.choice(terms)
    return rng.choice([f"What happens on {t}?", f"What does {t} do?", f"What is {t} for?", f"When is {t} used?", f"How does {t} work?", f"What about {t}?",
                       f"What happens with {t}?", f"Why {t}?", f"What is {t}?", f"What is the role of {t}?", f"How is {t} handled?", f"Tell me about {t}.",
                       f"What is said about {t}?", f"Where does {t} matter?", f"What do I need {t} for?", f"Is there anything on {t}?"])


def base_word(word):
    word = word.split()[-1] if word.split() else "get"
    return re.sub(r"(?<=[^aeiou])ed$", "e" if word.endswith(("ated", "ined", "ured", "osed", "ised", "uted")) else "", word)


def keywords(s, title, rng, text=""):
    words = list(dict.fromkeys(w.strip(".") for w in content(s) if 3 < len(w) < 30))
    # At least two words occur nowhere else in the passage, or the question could mean another sentence.
    rare = [w for w in words if text.count(w) <= s.count(w)]
    if len(words) < 3 or len(rare) < 2:
        return None
    words = [w for w in words if w in rare or rng.random() < 0.4]
    count = min(len(words), rng.choice([2, 3, 3, 4, 5]))
    chosen = sorted(rng.sample(range(len(words)), count))
    w = [words[i] if words[i].isupper() or "_" in words[i] else lower_first(words[i]) for i in chosen]
    phrase, a, b = " ".join(w), w[0], " ".join(w[1:])
    return rng.choice([f"What does the text say about {a} and {b}?", f"What is said about {phrase}?", f"{phrase}?", phrase, f"How do {a} and {b} relate?",
                       f"What should I know about {phrase}?", f"How does {a} affect {b}?", f"What is the role of {a} for {b}?", f"What about {phrase}?",
                       f"Which statement concerns {phrase}?", f"How is {a} connected with {b}?", f"Why {a} {b}?", f"How {phrase}?", f"When {phrase}?",
                       f"Where {phrase}?", f"Can {a} {b}?", f"In {lower_first(title)}, what about {phrase}?"])


def ambiguous(q, s, others, rng):
    """Whether another sentence of the passage shares as many words with the question as the one meant."""
    asked = language.stems(q)
    meant = len(asked & language.stems(s))
    best = max((len(asked & language.stems(o)) for o in others if o != s), default=0)
    return best > meant or best == meant and rng.random() < 0.7


def from_sentence(s, title, rng, text=""):
    """A question that sentence s (under a title) answers, or None."""
    found = list(rules(s, title))
    if rng.random() < 0.12 and (q := from_term(s, text, rng)):
        return q
    if found and rng.random() < 0.88:
        q = rng.choice(rng.choices([t for _, t in found], [w for w, _ in found])[0])
    else:
        q = keywords(s, title, rng, text)
    if not q or len(q) < 6 or len(q) > 220:
        return None
    # A sentence that starts with a pronoun is only identified together with its title.
    if title and (s.split()[0].lower() in pronouns and rng.random() < 0.5 or rng.random() < 0.08) and title.lower() not in q.lower():
        q = rng.choice([f"{q[:-1]} in {title}?" if q.endswith("?") else q, f"In {title}, {lower_first(q)}", f"{title}: {lower_first(q)}"])
    return q


def disguise(q, rng, title=""):
    """The surface of a question as people type it; words of the title are not paraphrased."""
    if rng.random() < 0.7:
        q = q.replace("`", "")
    if rng.random() < 0.45:
        q = language.paraphrase(q, rng, keep=title.lower().split())
    r = rng.random()
    if r < 0.05:
        q = q.lower()
    elif r < 0.09:
        q = q.rstrip("?.")
    elif r < 0.15:
        q = rng.choice(["Can you tell me: ", "Please explain: ", "I would like to know: ", "Quick question: ", "Could you say "]) + lower_first(q)
    elif r < 0.17:
        q = q.rstrip("?") + rng.choice([" according to the passages?", ", please?", " exactly?", " in practice?"])
    return q
