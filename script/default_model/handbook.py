"""The project's handbook as retrieval hands it out: chunks of whole sentences with a title, near ones beside the right one, and questions about them.

No question of examples/data/questions.jsonl is asked: what shares a run of eight words or half of the content words with one is dropped
(training/overlap.py), and a hand-written question is dropped, too, where its answer holds a reference answer of that document.
"""
import collections, json, math, pathlib, random, re, sys

import adapt, everyday, language, passages, questions, short

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from training import overlap   # noqa: E402  (found through the line above)

root = pathlib.Path(__file__).resolve().parents[2]
development = 8      # every eighth hand-written fact is never trained on
figure = re.compile(r"\d[\d,]*(?:\.\d+)?")


def units(body):
    """(begin, end, text) of headings, sentences, list items and fenced blocks, in order."""
    out, at = [], 0
    for part in re.split(r"(?ms)(^```.*?^```$)", body):
        blocks = [part] if part.startswith("```") else [b for b in re.split(r"\n\n", part) if b.strip()]
        for block in blocks:
            pieces = [block] if block.startswith(("```", "#")) else [s for line in re.split(r"\n(?=[-*] |\d+\. )", block) for s in language.sentences(line.strip())]
            for piece in pieces:
                piece = piece.strip()
                begin = body.find(piece, at)
                if piece and begin >= 0:
                    out.append((begin, begin + len(piece), piece))
                    at = begin + len(piece)
    return out


def chunks(body, limit=160, overlap_words=40):
    """Lists of units of at most `limit` words, each repeating at most `overlap_words` of the one before, as smalti::split cuts."""
    every, start, out = units(body), 0, []
    while start < len(every):
        words, end = 0, start
        while end < len(every) and (end == start or words + len(every[end][2].split()) <= limit):
            words += len(every[end][2].split()); end += 1
        if end < len(every) and end - start > 1 and every[end - 1][2].startswith("#"):
            end -= 1
        out.append(every[start:end])
        if end == len(every):
            break
        back, words = end, 0
        while back - 1 > start and words + len(every[back - 1][2].split()) <= overlap_words:
            back -= 1; words += len(every[back][2].split())
        start = back
    return out


class Index:
    """TF-IDF over stems; near(text) ranks the chunks, which stands in for the library's retrieval."""

    def __init__(self, texts):
        bags = [collections.Counter(self.terms(t)) for t in texts]
        seen = collections.Counter(w for b in bags for w in b)
        self.weight = {w: math.log(len(texts) / n) for w, n in seen.items()}
        self.lists = collections.defaultdict(list)
        for i, b in enumerate(bags):
            row = {w: (1 + math.log(n)) * self.weight[w] for w, n in b.items()}
            length = math.sqrt(sum(v * v for v in row.values())) or 1
            for w, v in row.items():
                self.lists[w].append((i, v / length))

    @staticmethod
    def terms(text):
        return [re.sub(r"(ing|ed|es|s|ly|ion)$", "", w.lower())[:8] for w in re.findall(r"[A-Za-z_]\w+", text) if w.lower() not in language.stop]

    def near(self, text):
        scores = collections.defaultdict(float)
        for w in set(self.terms(text)):
            for i, v in self.lists.get(w, ()):
                scores[i] += v * self.weight[w]
        return scores


synonyms = {}        # of synonyms.py, where mix.py has read them


def reword(q, rng, chance=0.3):
    """Words exchanged for others of WordNet's commonest senses; code and figures stay."""
    def swap(match):
        w = match[0]
        if w in language.stop or rng.random() > chance:
            return w
        if w in everyday.table and rng.random() < 0.75:
            return rng.choice(everyday.table[w])
        if w in synonyms:
            return rng.choice(synonyms[w])
        if w.endswith("s") and w[:-1] in synonyms:
            return language.third(rng.choice(synonyms[w[:-1]]))
        return w
    return re.sub(r"(?<![`\w.(])[a-z]{3,}(?![\w`(.]\w)", swap, q)


def thinned(q, rng, chance=0.15):
    """Some words left out, as in a hurried question; code and figures stay, and at least four words."""
    words = q.split()
    kept = [w for w in words if not w.isalpha() or rng.random() > chance]
    return " ".join(kept) if len(kept) >= 4 else q


def scrambled(rng, texts):
    """The texts with their long figures exchanged for others of the same form, the same ones everywhere, so that no figure is worth remembering."""
    swap = {}
    def other(match):
        old = match[0]
        if sum(c.isdigit() for c in old) < 2 or re.fullmatch(r"(19|20)\d\d|10+", old):
            return old
        if old not in swap:
            swap[old] = "".join(str(rng.randrange(1 if i == 0 else 0, 10)) if c.isdigit() else c for i, c in enumerate(old))
        return swap[old]
    return [re.sub(r"(?<![\w.])\d(?:[\d,]*\d)?(?:\.\d+)?(?![\w])", other, t) for t in texts]


ordinary = re.compile(r"(?<![\w`.$-])[a-z]{4,}\b(?![`.(]\w|-)")


def exchanged(rng, texts, vocabulary):
    """The texts with some words of theirs exchanged for others everywhere, code aside: what a sentence says must be read, it cannot be remembered."""
    own = sorted({w for t in texts for part in re.split(r"```.*?```|`[^`]*`", t, flags=re.S) for w in ordinary.findall(part)} - language.stop)
    # Not those that stand in code or at a sentence's beginning, too: they would stay there, and a phrase would no longer be the sentence's.
    joined = " ".join(texts)
    code = set(re.findall(r"\w+", " ".join(re.findall(r"`[^`]*`", joined))))
    own = [w for w in own if w not in code and w.capitalize() not in joined]
    swap, ending = {}, lambda w: next((e for e in ("ing", "ed", "ly", "s") if w.endswith(e)), "")
    for w in rng.sample(own, min(len(own), rng.choice([3, 6, 12, 20]))):
        swap[w] = rng.choice(vocabulary[ending(w)])
    def outside(text):
        parts = re.split(r"(```.*?```|`[^`]*`)", text, flags=re.S)
        return "".join(p if i % 2 else ordinary.sub(lambda m: swap.get(m[0], m[0]), p) for i, p in enumerate(parts))
    return [outside(t) for t in texts]


class Handbook:
    def __init__(self, rng, folder=root / "examples/data/handbook", written=pathlib.Path(__file__).parent / "written.jsonl", held_out=(), near=()):
        """near: rows of near.py with a document of the handbook."""
        self.rng, self.documents, self.pages, self.by_document = rng, {}, [], collections.defaultdict(list)
        rows = [json.loads(l) for l in (root / "examples/data/questions.jsonl").read_text().splitlines()]
        self.guard = overlap.Guard([r["question"] for r in rows])
        self.references = collections.defaultdict(list)
        for r in rows:
            for d in r["documents"]:
                self.references[d] += [a for a in [r["answer"], *r.get("alternatives", [])] if a]
        for file in sorted(pathlib.Path(folder).glob("*/*.md")):
            head, body = file.read_text().split("---\n", 2)[1:]
            field = lambda name: re.search(rf"^{name}: (.*)$", head, re.M)[1]
            self.documents[field("id")] = (field("title"), field("category"), body.strip())
        for identity, (title, _, body) in self.documents.items():
            for part in chunks(body):
                page = passages.Passage(title, body[part[0][0]:part[-1][1]], [u for _, _, u in part if not u.startswith(("```", "#")) and passages.usable(u)], [], [])
                for (_, _, before), (_, _, code) in zip([(0, 0, title)] + part, part):
                    if code.startswith(("```sql", "```python")):
                        page.codes.append((before, code))
                page.document, page.units = identity, [u for _, _, u in part]
                self.by_document[identity].append(len(self.pages))
                self.pages.append(page)
        self.vocabulary = collections.defaultdict(list)
        for w in sorted({w for p in self.pages for w in ordinary.findall(p.text)} - language.stop):
            self.vocabulary[next((e for e in ("ing", "ed", "ly", "s") if w.endswith(e)), "")].append(w)
        self.index = Index([p.title + " " + p.title + "\n" + p.text for p in self.pages])
        self.held_out = set(held_out)
        self.written = collections.defaultdict(list)
        self.near = collections.defaultdict(list)
        for row in near:
            self.near[row["d"]].append((row["a"], row["q"]))
        self.dropped, self.development = 0, []
        self.held_phrases, self.elsewhere = [], []
        if pathlib.Path(written).exists():
            self.read_written(written)
            self.read_short(pathlib.Path(__file__).parent / "short.jsonl")
            self.elsewhere = [q for q in (pathlib.Path(__file__).parent / "elsewhere.txt").read_text().splitlines() if not self.forbidden(q)]

    def read_written(self, file):
        """Hand-written questions: {"d": document, "a": beginning of the answer's sentence or code block, "q": [questions]}."""
        for number, line in enumerate(pathlib.Path(file).read_text().splitlines()):
            row = json.loads(line)
            answer = self.locate(row["d"], row["a"])
            if answer is None:
                raise SystemExit(f"{file}: {row['d']} holds no sentence that begins {row['a']!r}")
            asked = [q for q in row["q"] if not self.forbidden(q) and not self.gives_away(row["d"], answer)]
            self.dropped += len(row["q"]) - len(asked)
            if asked and number % development == development - 1:
                self.development.append((row["d"], answer, asked))
            elif asked:
                self.written[row["d"]].append((answer, asked))

    def read_short(self, file):
        """Hand-written questions with the phrase that answers: {"d", "a" as above, "q": question, "s": phrase}; trained on with the sentence as the answer."""
        untouched = {(d, a) for d, a, _ in self.development}
        for number, line in enumerate(pathlib.Path(file).read_text().splitlines()):
            row = json.loads(line)
            answer = self.locate(row["d"], row["a"])
            if answer is None:
                raise SystemExit(f"{file}: {row['d']} holds no sentence that begins {row['a']!r}")
            if self.forbidden(row["q"]) or self.gives_away(row["d"], answer):
                self.dropped += 1
            elif number % development == development - 1 or (row["d"], answer) in untouched:
                self.held_phrases.append((row["d"], answer, row["q"], row["s"]))
            else:
                self.written[row["d"]].append((answer, [row["q"]]))

    def locate(self, document, start):
        for p in self.by_document[document]:
            for u in self.pages[p].units:
                if u.startswith(start):
                    return u
        return None

    def gives_away(self, document, answer):
        """Whether the answer holds what a question of the evaluation about this document wants."""
        own = " " + " ".join(overlap.words(answer.replace(",", ""))) + " "
        return any(" " + " ".join(overlap.words(a.replace(",", ""))) + " " in own for a in self.references[document])

    def forbidden(self, question):
        return bool(self.guard.shared(question, self.guard.short) or self.guard.close(question))

    def context(self, question, need=None, most=4):
        """Indices of pages as retrieval would give them: the nearest with some noise, at most two of a document; `need` among them."""
        rng, scores = self.rng, self.index.near(question)
        best = max(scores.values(), default=1)
        if need is not None and rng.random() < 0.25:
            # The oracle's passages: those of the right document alone.
            own = list(self.by_document[self.pages[need].document])
            picked = own if len(own) <= most else list(dict.fromkeys([need] + rng.sample(own, most - 1)))
            rng.shuffle(picked)
            return picked
        noise = rng.choice([0.05, 0.2, 0.5])
        for i in scores:
            scores[i] += best * noise * rng.random()
        if need is not None:
            scores[need] += best * rng.choice([0.0, 0.3, 0.6])
        order, picked, count = sorted(scores, key=lambda i: -scores[i]), [], collections.Counter()
        size = rng.choice([4, 4, 4, 4, 3, 2, 1]) if most == 4 else most
        for i in order:
            if count[self.pages[i].document] < 2:
                picked.append(i); count[self.pages[i].document] += 1
            if len(picked) == size:
                break
        if need is not None and need not in picked:
            picked[rng.randrange(len(picked)):] = [need] if len(picked) < 2 else picked[-1:] and [need]
        if rng.random() < 0.2:
            rng.shuffle(picked)
        return picked

    # Questions ----------------------------------------------------------------------------------------------------------------------

    def worked(self, page):
        """A figure asked for by repeating what is given: the sentences before it, as a person would restate them."""
        rng, lines = self.rng, page.sentences
        found = []
        for i, s in enumerate(lines):
            for m in re.finditer(r"(?:^|, (?:so|and|which means that)? ?|because )(?:[Tt]he|[Ii]ts|[Aa]n?) ([a-zA-Z][\w' -]{2,60}?) (is|are|was|falls to|rises to|becomes|equals|add up to|comes to|amounts to|of .{3,40}? is) (?:about |only |exactly )?([$€£]?\d[\d.,]*)", s):
                found.append((i, m[1]))
        if not found:
            return None
        i, what = rng.choice(found)
        what = re.sub(r"^(a|an|the) ", "", what)
        ask = rng.choice([f"What is the {what}?", f"How high is the {what}?", f"What {what} results?", f"How much is the {what}?", f"Work out the {what}.", f"What does the {what} come to?",
                          f"Calculate the {what}.", f"Which {what} follows?", f"How large is the {what}?", f"What is the {what} then?"])
        if i and rng.random() < 0.6:
            given = [s for s in lines[max(0, i - 2):i] if figure.search(s)]
            if given:
                told = " ".join(given[-rng.choice([1, 2]):])
                if rng.random() < 0.4:
                    told = re.sub(r"^(A|An|The) ", lambda m: rng.choice(["Our ", "Our ", "My ", "We have a ", "This "]), told)
                if rng.random() < 0.3:
                    told = told.replace("%", " percent")
                ask = f"{told} {ask}"
        return ask, lines[i]

    def program(self, page):
        code = self.rng.choice(page.codes)[1]
        made = (adapt.sql if code.startswith("```sql") else adapt.python)(page, code, self.rng)
        return made[:2] if made else None

    def named(self, q, title):
        """A hand-written question with its subject, where it has none: such questions were written with the page in view."""
        rng, low = self.rng, questions.lower_first(title)
        if language.stems(q) & language.stems(title) or rng.random() < 0.3:
            return q
        asked = questions.lower_first(q)
        return rng.choice([f"{title}: {asked}", f"About {low}: {asked}", f"I use {low}. {q}", f"{q[:-1]} with {low}?" if q.endswith("?") else f"{q} ({low})", f"With {low}, {asked}",
                           f"In {low}, {asked}", f"{q} I mean {low}."])

    def about_code(self, page):
        rng = self.rng
        before, code = rng.choice(page.codes)
        title = questions.lower_first(page.title)
        words = [w for w in language.content(before)[:10] if w.lower() not in title.lower()]
        sql = code.startswith("```sql")
        asks = [f"Show an example of {title}.", f"Give me code for {title}.", f"How do I write {title} in {'SQL' if sql else 'Python'}?", f"What does {title} look like in code?",
                f"Write an example of {title}.", f"Show {title} in {'a query' if sql else 'Python code'}.", f"I need a code sample for {title}.", f"Example of {title}, please."]
        if len(words) > 2:
            asks += [f"Show the code for {title} with {' and '.join(rng.sample(words, 2))}."]
        return rng.choice(asks), code

    def ask(self, page):
        """(question, sentence or code that answers) about a page, or None."""
        rng, draw = self.rng, self.rng.random()
        if page.codes and draw < 0.1:
            return self.program(page)
        own = [(a, q) for a, asked in self.written[page.document] if a in page.text for q in asked]
        if own and draw < 0.5:
            a, q = rng.choice(own)
            return self.named(q, page.title), a
        alike = [(a, asked) for a, asked in self.near[page.document] if a in page.text]
        if alike and rng.random() < 0.35:
            a, asked = rng.choice(alike)
            return self.named(rng.choice(asked), page.title), a
        if page.codes and rng.random() < 0.25:
            return self.about_code(page) if rng.random() < 0.2 else self.program(page)
        if rng.random() < 0.25 and (made := self.worked(page)):
            return made
        if not page.sentences:
            return None
        s = rng.choice(page.sentences)
        q = questions.from_sentence(s, page.title, rng, page.text)
        # A question cut inside a figure asks for another one.
        if not q or questions.ambiguous(q, s, page.sentences, rng) or not set(figure.findall(q)) <= set(figure.findall(s)):
            return None
        return q, s

    def style(self, q, title):
        """As people type: other words, abbreviations spelled out or the other way round, a lead-in of their own."""
        rng = self.rng
        if re.search(r"\w\([\w, *=]*\)", q):
            return q
        for long, abbreviation in spelled:
            if rng.random() < 0.4:
                q = re.sub(rf"\b{long}\b", abbreviation, q, flags=re.I) if rng.random() < 0.5 else re.sub(rf"\b{abbreviation}\b", long, q)
        if rng.random() < 0.55:
            q = reword(q, rng)
        if rng.random() < 0.1:
            q = thinned(q, rng)
        return questions.disguise(" ".join(q.split()), rng, title if rng.random() < 0.5 else "")

    def sample(self, most_turns=1):
        """(context, [(question, answer)], kind) or None."""
        rng = self.rng
        for _ in range(20):
            # Documents first, so that short ones are asked about as often as long ones.
            need = rng.choice(self.by_document[rng.choice(self.asked_documents())])
            made = self.ask(self.pages[need])
            if not made:
                continue
            first = self.style(made[0], self.pages[need].title)
            if self.forbidden(first):
                continue
            picked = self.context(first, need)
            turns, sources = [(first, made[1])], [self.pages[need]]
            for _ in range(2 * most_turns):
                if len(turns) >= most_turns:
                    break
                page = self.pages[rng.choice([p for p in picked if self.pages[p].document not in self.held_out] or picked)]
                if page.document in self.held_out or not (more := self.ask(page)):
                    continue
                q = self.style(more[0], page.title)
                if more[1] not in [a for _, a in turns] and not self.forbidden(q):
                    turns.append((q, more[1])); sources.append(page)
            texts = [self.pages[p].text for p in picked]
            if sum(map(len, texts)) > 6500:
                continue
            count = len(texts)
            flat = [self.pages[p].title for p in picked] + texts + [t for turn in turns for t in turn]
            if rng.random() < 0.4:
                flat = scrambled(rng, flat)
            if rng.random() < 0.4:
                flat = exchanged(rng, flat, self.vocabulary)
            titles, texts, rest = flat[:count], flat[count:2 * count], flat[2 * count:]
            rest = [re.sub(r"(\d),000\b(?!,)", r"\1k", t) if i % 2 == 0 and rng.random() < 0.3 else t for i, t in enumerate(rest)]
            cited = []
            for (q, a), page in zip(zip(rest[::2], rest[1::2]), sources):
                holder = next((i for i, t in enumerate(texts, 1) if a in t), None)
                if holder is None and a.startswith("```"):
                    holder = next((i for i, p in enumerate(picked, 1) if self.pages[p] is page), None)
                if holder is None or self.forbidden(q):
                    break
                cited.append((q, a + ("\n" if a.endswith("```") else " ") + f"[{holder}]"))
            if cited:
                return list(zip(titles, texts)), cited, "book"
        return None

    def phrase_tests(self, rng):
        """Held-out questions with the texts that count as answers: (context, question, [phrase, sentence], right number)."""
        out = []
        for d, a, q, s in [(d, a, q[0], short.derive(q[0], a)) for d, a, q in self.development] + self.held_phrases:
            q = self.named(q, self.documents[d][0])
            need = next(p for p in self.by_document[d] if a in self.pages[p].text)
            scores = self.index.near(q)
            order = [i for i in sorted(scores, key=lambda i: -scores[i]) if i != need][:3]
            order.insert(len(out) % (len(order) + 1), need)
            own = [need] + [i for i in self.by_document[d] if i != need][:3]
            for picked in (order, own):
                out.append(([(self.pages[p].title, self.pages[p].text) for p in picked], q, [t for t in (s, a) if t], picked.index(need) + 1))
        return out

    def tests(self):
        """The development questions: (context, question, pattern of a right answer, right number)."""
        out = []
        for document, answer, asked in self.development:
            for q in [self.named(asked[0], self.documents[document][0])]:
                need = next(p for p in self.by_document[document] if answer in self.pages[p].text)
                scores = self.index.near(q)
                order = [i for i in sorted(scores, key=lambda i: -scores[i]) if i != need][:3]
                order.insert(len(out) % (len(order) + 1), need)
                out.append(([(self.pages[p].title, self.pages[p].text) for p in order], q, re.escape(answer[:48]), order.index(need) + 1))
        return out

    def asked_documents(self):
        if not hasattr(self, "asked"):
            self.asked = [d for d in self.documents if d not in self.held_out]
        return self.asked

    def open_question(self):
        """A hand-written question that no document answers, with the passages that come nearest."""
        while True:
            q = self.style(self.rng.choice(self.elsewhere), "")
            if not self.forbidden(q) and (picked := self.context(q)):
                return q, [(self.pages[p].title, self.pages[p].text) for p in picked]

    def unanswered(self, question, most=4):
        """Passages near a question that comes from elsewhere, or None if one of them might answer it."""
        picked = self.context(question, None, most)
        asked = language.stems(question)
        if not picked or not asked or max(len(asked & language.stems(self.pages[p].title + " " + self.pages[p].text)) for p in picked) > 0.5 * len(asked):
            return None
        return [(self.pages[p].title, self.pages[p].text) for p in picked]


# What abbreviations stand for, both ways.
spelled = [("net present value", "NPV"), ("internal rate of return", "IRR"), ("weighted average cost of capital", "WACC"), ("capital asset pricing model", "CAPM"),
           ("earnings per share", "EPS"), ("return on equity", "ROE"), ("return on assets", "ROA"), ("economic value added", "EVA"), ("free cash flow", "FCF"),
           ("common table expression", "CTE"), ("price-earnings ratio", "P/E ratio"), ("value at risk", "VaR"), ("expected shortfall", "ES"), ("enterprise value", "EV"),
           ("effective annual rate", "EAR"), ("economic order quantity", "EOQ"), ("adjusted present value", "APV"), ("cost of goods sold", "COGS"),
           ("dividend discount model", "DDM"), ("depth-first search", "DFS"), ("breadth-first search", "BFS"), ("global interpreter lock", "GIL"),
           ("regular expression", "regex"), ("method resolution order", "MRO"), ("command line", "shell"), ("database", "DB"), ("percent", "%")]
