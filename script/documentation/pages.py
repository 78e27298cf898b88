#!/usr/bin/env python3
"""HTML pages of manuals as Markdown: headings, paragraphs, lists, tables and code are kept; navigation, scripts and pictures are dropped.

    pages.py TREE OUT     the pages of the unpacked packages in TREE/<package> into OUT/<manual>/….md, and OUT/pages.json

Standard library only. Each page becomes a file with the front matter that smalti::load_documents reads; its id is the path of the page,
<manual>/<path in the package>. A page that cannot be read is reported and left out.
"""
import html.parser, json, pathlib, re, sys

# Manual -> package, folder of its pages, and what is left out: indexes, tables of contents, change logs, and second copies (requirements.html and capi3ref.html
# repeat the sentences of other pages).
MANUALS = {
    "python": ("python3.11-doc", "usr/share/doc/python3.11/html",
               r"(^|/)(genindex[\w-]*|py-modindex|search|contents|index|changelog|download|bugs|about|copyright|license)\.html|^(_sources|_static|whatsnew|includes)/"),
    "postgresql": ("postgresql-doc-15", "usr/share/doc/postgresql-doc-15/html",
                   r"^(index|bookindex|biblio|legalnotice|release-[\d-]+|release|acronyms|tutorial|acknowledgements)\.html|^(features|unsupported-features)-"),
    "sqlite": ("sqlite3-doc", "usr/share/doc/sqlite3",
               r"^(releaselog|syntax)/|^(changes|chronology|index|keyword_index|doclist|docs|sitemap|search|news|session)\.html|^(requirements|capi3ref|fileformat2|doc_\w+_crossref|sqlanalyze|speed|oldnews)\.html|^matrix/|"
               r"/(intro|funclist|objlist|constlist)\.html$"),
}
BLOCKS = {"p", "div", "section", "article", "ul", "ol", "dl", "dd", "table", "tbody", "blockquote", "center", "body", "main", "figure", "figcaption", "hr", "form", "aside"}
HEADINGS = {"h1": "# ", "h2": "## ", "h3": "### ", "h4": "#### ", "h5": "##### ", "h6": "###### "}
SKIPPED = {"script", "style", "nav", "head", "svg", "button", "select", "footer", "noscript", "colgroup"}
SKIPPED_CLASSES = {"nosearch", "navheader", "navfooter", "toc", "related", "sphinxsidebar", "headerlink", "contents", "fancy_toc", "menu", "clearer", "footer", "imgcontainer"}


class Page(html.parser.HTMLParser):
    """Collects blocks; end tags that HTML lets one leave out (p, li, dt, dd, tr, td) are implied by the next block."""

    def __init__(self, only_main):
        super().__init__(convert_charrefs=True)
        self.blocks, self.words, self.prefix = [], [], ""
        self.inside, self.main_tag, self.main_depth = not only_main, "", 0
        self.skip_tag, self.skip_depth = "", 0
        self.pre = 0
        self.title, self.first_heading, self.in_title, self.heading = "", "", False, False

    def flush(self):
        text = "".join(self.words) if self.pre else re.sub(r"\s+", " ", "".join(self.words)).replace("¶", "").strip()
        self.words = []
        if self.pre:
            text = text.strip("\n").rstrip()
            if text.strip():
                self.blocks.append("```\n" + re.sub(r"(?m)^```", " ```", text) + "\n```")
        elif text:
            if self.heading and not self.first_heading:
                self.first_heading = text
            # A Markdown mark at the start of prose would turn it into something else.
            if not self.prefix and text[0] in "#>|":
                text = "\\" + text
            self.blocks.append(self.prefix + text)
            if self.prefix != "| ":
                self.prefix = ""

    def handle_starttag(self, tag, attributes):
        a = dict(attributes)
        if self.skip_tag:
            self.skip_depth += tag == self.skip_tag
            return
        if tag == "title":
            self.in_title = True
        if not self.inside:
            if a.get("role") == "main":
                self.inside, self.main_tag, self.main_depth = True, tag, 1
            return
        classes = set((a.get("class") or "").split())
        if tag != "head" and (tag in SKIPPED or classes & SKIPPED_CLASSES and tag not in ("body", "html")):
            self.skip_tag, self.skip_depth = tag, 1
            if tag != "a":
                self.flush()
            return
        self.main_depth += tag == self.main_tag
        if tag == "pre":
            self.flush()
            self.prefix, self.pre = "", 1
        elif self.pre:
            if tag == "br":
                self.words.append("\n")
        elif tag in HEADINGS:
            self.flush()
            self.prefix, self.heading = HEADINGS[tag], True
        elif tag == "li":
            self.flush()
            self.prefix = "- "
        elif tag == "tr":
            self.flush()
            self.prefix = "| "
        elif tag in ("td", "th"):
            if self.prefix == "| ":
                self.words.append(" | " if "".join(self.words).strip() else "")
            else:  # a table without rows
                self.flush()
        elif tag == "dt":
            self.flush()
            self.prefix = ""
        elif tag in BLOCKS:
            if self.prefix == "| ":  # a paragraph in a cell stays in its row
                self.words.append(" ")
            elif not (self.prefix and not "".join(self.words).strip()):
                self.flush()
        elif tag == "br":
            self.words.append(" ")

    def handle_endtag(self, tag):
        if tag == "title":
            self.in_title = False
        if self.skip_tag:
            if tag == self.skip_tag:
                self.skip_depth -= 1
                if self.skip_depth == 0:
                    self.skip_tag = ""
            return
        if not self.inside:
            return
        if tag == "pre" and self.pre:
            self.flush()
            self.pre = 0
        elif self.pre:
            pass
        elif tag in HEADINGS:
            self.flush()
            self.heading, self.prefix = False, ""
        elif tag in ("tr", "table"):
            self.flush()
            self.prefix = ""
        elif tag in ("li", "dt", "dd") or tag in BLOCKS:
            if self.prefix != "| ":
                self.flush()
        if tag == self.main_tag:
            self.main_depth -= 1
            if self.main_depth == 0:
                self.flush()
                self.inside = False

    def handle_data(self, data):
        if self.in_title:
            self.title += data
        elif self.inside and not self.skip_tag:
            self.words.append(data)


def joined(blocks):
    """Blocks with an empty line between them, rows and items of one list without."""
    text = ""
    blocks = list(blocks)
    for before, block in zip([""] + blocks, blocks):
        tight = before[:2] == block[:2] and block[:2] in ("| ", "- ")
        text += ("" if not text else "\n" if tight else "\n\n") + block
    return text


def read_page(data):
    """(title, Markdown) of a page's bytes. Raises ValueError for what is no text."""
    if b"\0" in data:
        raise ValueError("expected text, found zero bytes")
    try:
        source = data.decode("utf-8")
    except UnicodeDecodeError:
        source = data.decode("latin-1")
    if "<" not in source:
        raise ValueError("expected HTML, found no tag")
    source = re.sub(r"(?is)<head\b.*?(<title.*?</title>).*?</head>", r"\1", source)
    page = Page('role="main"' in source)
    page.feed(source)
    page.close()
    page.flush()
    title = re.sub(r"\s+", " ", page.title).strip()
    title = re.split(r" — Python \d| - Python \d", title)[0].strip() or page.first_heading
    # PostgreSQL numbers its chapters in titles; the number says nothing to a search.
    return re.sub(r"^((Chapter|Appendix|Part)\s+)?[\dA-Z]{1,3}(\.\d+)*\.\s+", "", title.replace("\xa0", " ")), joined(b for b in page.blocks if not re.fullmatch(r"[a-z]+(-[a-z]+)*:", b))


def extract(tree, out, say=lambda text: print(text, file=sys.stderr)):
    """All manuals. Returns {manual: {"pages", "bytes", "left_out", "broken"}}; the files of pages that are gone are deleted."""
    counts, written = {}, set()
    for manual, (package, folder, excluded) in MANUALS.items():
        base = tree / package / folder
        files = sorted(f for f in base.rglob("*.html") if f.is_file() and not f.is_symlink())
        if not files:
            raise SystemExit(f"{base}: expected the pages of {package}, found none")
        count = counts[manual] = {"package": package, "pages": 0, "bytes": 0, "left_out": 0, "broken": 0}
        for file in files:
            path = file.relative_to(base).as_posix()
            if re.search(excluded, path):
                count["left_out"] += 1
                continue
            try:
                title, text = read_page(file.read_bytes())
            except (OSError, ValueError, AssertionError) as e:
                count["broken"] += 1
                say(f"{file}: left out: {e}")
                continue
            # Pages of links alone say nothing.
            if len(text.split()) < 30 or not title:
                count["left_out"] += 1
                continue
            target = out / manual / (path[:-5] + ".md")
            target.parent.mkdir(parents=True, exist_ok=True)
            page = f"---\nid: {manual}/{path}\ntitle: {title}\ncategory: {manual}\n---\n{text}\n"
            if not target.exists() or target.read_text() != page:
                part = target.with_suffix(".part")
                part.write_text(page)
                part.replace(target)
            written.add(target)
            count["pages"] += 1
            count["bytes"] += len(text.encode())
    for old in out.rglob("*.md"):
        if old not in written:
            old.unlink()
    return counts


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    print(json.dumps(extract(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])), indent=1))
