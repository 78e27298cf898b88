"""Cuts corpus documents into passages of 40–250 words and lists what can be asked about each of them."""
import dataclasses, re

import language


@dataclasses.dataclass
class Passage:
    title: str
    text: str
    sentences: list          # prose sentences in order
    codes: list              # (lead-in sentence, fenced code block)
    entries: list            # (term, description) of definition lists and dictionaries
    parts: list = dataclasses.field(default_factory=list)      # invented articles: (sentence, questions)
    named: bool = False      # questions must name the title, since similar articles answer them too
    known: list = dataclasses.field(default_factory=list)      # sentences with questions in other words


def fence(source):
    if source.startswith("python") or source in ("sphinx-doc", "twisted-doc"):
        return "```python"
    return "```sql" if source in ("postgresql-doc-15", "sqlite3-doc", "postgis-doc") else "```"


def usable(s):
    words = s.split()
    return (5 <= len(words) <= 55 and s[-1] in ".!" and re.match(r"[A-Z`\"“]", s) and s.count("(") == s.count(")") and len(s) < 380
            and s.count("`") % 2 == 0 and sum(w.isalpha() for w in words) > 0.5 * len(words) and not re.search(r"[\n|]", s))




code_like = re.compile(r"(?<![\w`./-])(?:[A-Za-z_][\w.]*\(\)|[A-Z]{2,}[A-Z_]+|[a-z]+_\w+|[a-z]+\.[a-z_]{3,}|--?[a-z][a-z-]{3,})(?![\w`/])")


def build(title, blocks, mark, ticks):
    sentences, codes, entries, text = [], [], [], []
    last = ""
    for block in blocks:
        if block.startswith("```"):
            body = block.strip("`\n")
            block = f"{mark}\n{body}\n```"
            if 0 < body.count("\n") + 1 <= 8 and len(body) < 400:
                codes.append((last, block))
        elif not block.startswith(("#", "|")):
            if ticks:
                # Corpus text has lost its inline code marks; some passages get them back.
                block = code_like.sub(r"`\g<0>`", block)
            lines = block.split("\n")
            if 2 <= len(lines) <= 6 and len(lines[0]) < 70 and lines[1][:1].isupper() and not lines[0].endswith((".", ":", ",")) and not lines[0].startswith("- "):
                entries.append((lines[0].strip(), language.sentences(" ".join(lines[1:]))[0]))
            elif len(lines) == 1 and re.match(r"[\w .'-]{2,40} \((noun|verb|adj)\): ", block):
                term, gloss = block.split(": ", 1)
                entries.append((term, gloss.split('; "')[0]))
            # Hard-wrapped paragraphs (man pages, POD) become one line now and then, so that both forms are known.
            # Footnote marks would look like citations.
            block = re.sub(r"\s?\[\d{1,3}\](?!\()", "", block)
            flat = re.sub(r"\s*\n\s*", " ", block) if not block.startswith("- ") else block
            if len(lines) > 1 and len(lines[0]) > 50:
                block = flat
            sentences += [s for s in language.sentences(flat.lstrip("- ")) if usable(s)]
        last = block
        text.append(block)
    return Passage(title, "\n\n".join(text), sentences, codes, entries)


def split(document, rng):
    """Passages of one document; titles are the document's title, the section's heading, or both."""
    mark = fence(document["source"])
    fences = re.split(r"(?m)^(```\n.*?\n```)$", document["text"], flags=re.S | re.M)
    blocks = []
    for i, part in enumerate(fences):
        blocks += [part] if i % 2 else [b.strip("\n") for b in part.split("\n\n") if b.strip()]
    title, heading, current, words, out = document["title"].strip()[:80] or "Untitled", "", [], 0, []
    goal = rng.randrange(40, 230)
    def close():
        nonlocal current, words, goal
        if words >= 30:
            h = rng.choice([heading, f"{title}: {heading}", title]) if heading and heading != title else title
            out.append(build(h, current, mark, rng.random() < 0.4))
        current, words, goal = [], 0, rng.randrange(40, 230)
    for block in blocks:
        n = len(block.split())
        if n > 250:
            pieces, piece = [], []
            for s in language.sentences(block):
                piece.append(s)
                if sum(len(p.split()) for p in piece) > 100:
                    pieces.append(" ".join(piece)); piece = []
            pieces.append(" ".join(piece))
            if len(pieces) == 1 or block.startswith("```"):
                close(); continue
        else:
            pieces = [block]
        for piece in pieces:
            n = len(piece.split())
            if words + n > 250 or words >= goal:
                close()
            if piece.startswith("#"):
                if words >= 30 and rng.random() < 0.7:
                    close()
                heading = piece.lstrip("# ")[:80]
                if current:
                    current.append(piece)
                continue
            current.append(piece); words += n
    close()
    return [p for p in out if len(p.text) < 2200]
