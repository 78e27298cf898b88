"""Articles whose sentences all name one subject: predicates of unrelated corpus sentences under a common concept name.

The content is nonsense on purpose. In the documents that people ask about, every sentence of an article repeats the article's subject,
so the subject finds the passage but not the sentence; here only the predicate tells which sentence answers.
"""
import re

import facts, language, questions
from relations import relations

adjectives = "partial covering nested recursive lazy static shared weak strong open closed floating fixed virtual temporary primary external internal double simple binary ordered hidden parallel deferred accrued intangible diluted revolving callable convertible zero-coupon unsecured operating".split()
concepts = "index trigger view cursor closure iterator queue lock ledger dividend lease invoice stack heap tuple buffer token schema constraint key scan plan cache pool thread future stream filter mapping registry module package wrapper hook signal bond share option swap annuity provision reserve asset liability warrant goodwill budget forecast audit voucher tariff premium mandate covenant tranche journal column row table record query clause subselect sequence partition replica snapshot checkpoint savepoint rollback collation encoding parser lexer compiler linker descriptor metaclass mixin fixture mock".split()
clause = re.compile(r"^((?:The |An? )?(?:[\w'-]+ ){1,4}?)(is|can|must|should|will|may|cannot|has|does not|[a-z]+s) (.{12,260})$")


class Mixer:
    def __init__(self, rng):
        self.rng, self.predicates, self.definitions, self.phrases, self.titles = rng, [], [], [], []

    def keep(self, pool, item):
        if len(pool) < 20000:
            pool.append(item)
        else:
            pool[self.rng.randrange(len(pool))] = item

    def learn(self, sentence, title):
        m = clause.match(sentence)
        if not m or m[1].split()[0].lower() in questions.pronouns or not sentence.endswith("."):
            return
        if m[2] == "is" and re.match(r"(an?|the) ", m[3]):
            self.keep(self.definitions, m[3])
            self.keep(self.phrases, questions.cut(m[3], 10))
        elif m[2] in language.base_of or not m[2].endswith("s") or m[2] == "is":
            self.keep(self.predicates, f"{m[2]} {m[3]}")
            if len(title.split()) <= 3 and re.match(r"[A-Za-z][\w ().-]+$", title):
                self.keep(self.titles, title)

    def name(self):
        r = self.rng
        draw = r.random()
        if draw < 0.35:
            return f"{r.choice(adjectives)} {r.choice(concepts)}"
        if draw < 0.5:
            return r.choice(concepts)
        if draw < 0.65:
            return f"{r.choice(facts.adjectives)} {r.choice(facts.nouns)}" + r.choice(["", " " + r.choice(facts.measures)])
        if draw < 0.75 and self.titles:
            return questions.lower_first(r.choice(self.titles))
        if draw < 0.87:
            return r.choice([str.upper, str.lower])(f"{r.choice(concepts)}{r.choice([' ', '_'])}{r.choice(concepts)}")
        return facts.Maker(r).name()

    def code(self):
        r, m = self.rng, facts.Maker(self.rng)
        t, a = r.choice(facts.tables), r.choice(facts.columns)
        return r.choice([f"{a} IS NOT NULL", f"CREATE {r.choice(concepts).upper()} name ON {t} ({a})", f"python -m {m.name().lower()} {t}", f"len({t}) == 0", f"{m.name().lower()} --{a}",
                         f"{t}.{a}()", f"SELECT {a} FROM {t}", f"pip install {m.name().lower()}", f"isinstance(x, {m.name()})", f"{a} = {a} + 1", f"git {r.choice(concepts)} {m.name().lower()}", f"with {t}() as {a}:"])

    def relation(self, article, name):
        r = self.rng
        says, asks = r.choice(relations)
        verbs = [p for p in r.sample(self.predicates, 8) if len(p.split()) < 16 and p.split()[0] in language.base_of]
        fill = dict(c=article, C=article[0].upper() + article[1:], n=name, a=r.choice(["", "", "great ", "main ", "chief ", "biggest "]), r=r.choice(self.phrases),
                    v=questions.cut(r.choice(verbs)) if verbs else "works", k=self.code(), K=r.choice(concepts).upper(), d=r.randrange(2, 500), o=self.name())
        fill |= {upper: fill[upper.lower()][0].upper() + fill[upper.lower()][1:] for upper in "OR"}
        return r.choice(says).format(**fill), [q.format(**fill) for q in asks]

    def article(self, name=None):
        """(title, text, [(sentence, questions or None)], name), or None while the pools are small."""
        r = self.rng
        if len(self.predicates) < 300 or len(self.definitions) < 60:
            return None
        name = name or self.name()
        bare = name.isupper() or name[0].isupper() or r.random() < 0.25
        article = name if bare else ("an " if name[0] in "aeiou" else "a ") + name
        forms = [name if bare else "the " + name, article, article if bare else "the " + name]
        parts = []
        if r.random() < 0.8:
            parts.append((f"{article} is {r.choice(self.definitions)}", [f"What is {article}?", f"Define {name}.", f"What is {name}?", f"What does {name} mean?", f"Explain {name}.", f"What is meant by {name}?", f"What does {article} do?", f"How does {article} work?"]))
        for predicate in r.sample(self.predicates, r.randrange(2, 7)):
            if len(predicate.split()) < 40:
                parts.append((f"{r.choice(forms)} {predicate}", None))
        for _ in range(r.choice([0, 1, 2, 3, 4])):
            parts.append(self.relation(article, name))
        head, tail = parts[:1], parts[1:]
        r.shuffle(tail)
        parts = [(s[0].upper() + s[1:], q) for s, q in head + tail]
        text = ""
        for s, _ in parts:
            gap = "" if not text else r.choice([" ", " ", " ", "\n\n", "\n\n## Details\n\n" if r.random() < 0.3 else " "])
            if gap and r.random() < 0.05:
                gap = f"\n\n```{r.choice(['sql', 'python', ''])}\n{self.code()}\n{self.code()}\n```\n\n"
            text += gap + s
        return (name[0].upper() + name[1:] if r.random() < 0.9 else name), text, parts, name

    def ask(self, title, parts):
        """(question, answer) about one sentence of an article, or None."""
        told = [p for p in parts if p[1]]
        s, asks = self.rng.choice(told if told and self.rng.random() < 0.6 else parts)
        if asks is None:
            q = questions.from_sentence(s, "", self.rng, " ".join(t for t, _ in parts))
            return (q, s) if q and not questions.ambiguous(q, s, [t for t, _ in parts], self.rng) else None
        touching = [q for q in asks if language.stems(q) & (language.stems(s) - language.stems(title))]
        return self.rng.choice(touching if touching and self.rng.random() < 0.5 else asks), s
