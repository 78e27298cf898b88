"""Reads free documentation of Debian packages and the handbook as documents: {"source", "title", "text"} with Markdown-like text.

Packages are read where they are installed or out of .deb files; nothing is unpacked or kept. script/default_model/extract.py reads more
kinds of files but needs lxml; this reader has to do with the standard library.
"""
import hashlib, html.parser, pathlib, re, subprocess, tarfile

# Package → (files of it that hold prose in English, most bytes of text taken, so that no package drowns the others).
packages = {
    "python3.11-doc": (r"/html/(tutorial|howto|library|faq|reference|using|installing|extending)/[\w.-]+\.html$", 2_600_000),
    "postgresql-doc-15": (r"/html/[\w.-]+\.html$", 2_600_000),
    "sqlite3-doc": (r"/sqlite3/[\w-]+\.html$", 2_200_000),
    "gnucash-docs": (r"/gnucash-(guide|help|manual)-en/[\w.-]+\.html$|/C/gnucash-\w+/[\w.-]+\.html$", 1_200_000),
    "debian-handbook": (r"/en-US/[\w.-]+\.html$", 1_200_000),
    "git-doc": (r"/git-doc/[\w.-]+\.html$", 1_200_000),
}
unwanted = re.compile(r"genindex|modindex|search|contents|copyright|licen[cs]e|changelog|release-|releaselog|legalnotice|bookindex|fdl|whatsnew|keyword_index|"
                      r"appendixa|trouble|changes|errcodes|keywords-appendix|features-|sourcetreenav|RelNotes|requirements|matrix|hlr")
dropped_class = re.compile(r"sphinxsidebar|related|navheader|navfooter|\btoc|headerlink|breadcrumb|menu|footer|navigation|fancy_toc|linenos|nosearch|copyright", re.I)
headings = {f"h{k}": k for k in range(1, 7)}
blocks = {"p", "li", "div", "dd", "dt", "td", "th", "tr", "table", "ul", "ol", "dl", "blockquote", "section", "center", "main", "article", "hr", "body"} | set(headings)


class Reader(html.parser.HTMLParser):
    """Collects headings, paragraphs, list items and code; tolerant of tags that are never closed."""

    def __init__(self):
        super().__init__()
        self.found, self.pending, self.mark, self.title = [], [], "", ""
        self.skip, self.depth, self.code, self.in_title = None, 0, False, False

    def flush(self, mark=""):
        text = "".join(self.pending)
        self.pending = []
        if self.code:
            text = text.strip("\n").rstrip()
            if text.strip():
                self.found.append("```\n" + re.sub(r"(?m)^```", " ```", text) + "\n```")
        else:
            text = re.sub(r"\s+", " ", text).replace("¶", "").strip()
            if len(text) > 1:
                if self.mark.startswith("#"):
                    text = re.sub(r"^(?:Chapter )?[\dA-Z]{0,2}(?:\.\d+)*\.\s+", "", text)
                self.found.append(self.mark + text)
        self.mark = mark

    def handle_starttag(self, tag, attributes):
        if self.skip:
            self.depth += tag == self.skip
            return
        names = " ".join(v or "" for k, v in attributes if k in ("class", "id"))
        if tag in ("script", "style", "nav", "form", "select", "svg") or tag in ("div", "ul", "a", "span", "table") and dropped_class.search(names):
            self.skip, self.depth = tag, 1
        elif tag == "title":
            self.in_title = True
        elif tag == "pre":
            self.flush()
            self.code = True
        elif tag in blocks and not self.code:
            self.flush("#" * headings[tag] + " " if tag in headings else "- " if tag == "li" else "")
        elif tag == "br":
            self.pending.append("\n")

    def handle_endtag(self, tag):
        if self.skip:
            self.depth -= tag == self.skip
            if not self.depth:
                self.skip = None
        elif tag == "title":
            self.in_title = False
        elif tag == "pre":
            self.flush()
            self.code = False
        elif tag in blocks and not self.code:
            self.flush()

    def handle_data(self, data):
        if self.in_title:
            self.title += data
        elif not self.skip:
            self.pending.append(data)


def from_html(data):
    reader = Reader()
    reader.feed(data.decode("utf-8", "replace"))
    reader.close()
    reader.flush()
    title = re.sub(r"\s+", " ", re.split(r" [—|] |\s+-\s+|::: ", reader.title)[0]).strip()
    return re.sub(r"^(?:Chapter )?[\dA-Z]{1,2}(?:\.\d+)*\.\s+", "", title), "\n\n".join(reader.found)


def digest(name):
    return hashlib.sha256(name.encode()).digest()


def installed(package, wanted):
    """{path: bytes} of an installed package, or None."""
    try:
        listed = subprocess.run(["dpkg", "-L", package], capture_output=True, text=True)
    except FileNotFoundError:
        return None
    paths = [p for p in listed.stdout.splitlines() if re.search(wanted, p) and pathlib.Path(p).is_file()]
    return {p: pathlib.Path(p).read_bytes() for p in paths} or None if not listed.returncode else None


def packed(file, wanted):
    """{path: bytes} out of a .deb file."""
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", file], stdout=subprocess.PIPE) as process:
        with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
            return {m.name.lstrip("."): archive.extractfile(m).read() for m in archive if m.isfile() and re.search(wanted, m.name)}


def read_package(package, folder):
    """(documents, where they came from), or ([], None) if the package is neither installed nor in the folder."""
    wanted, most = packages[package]
    found, where = installed(package, wanted), "installed"
    if not found:
        files = sorted(folder.glob(package + "_*.deb")) if folder else []
        if not files:
            return [], None
        found, where = packed(files[-1], wanted), files[-1].name
    documents, size, seen = [], 0, set()
    # Hash order takes a sample of the package and not its first letters.
    for path in sorted(found, key=lambda p: digest(pathlib.PurePosixPath(p).name)):
        if unwanted.search(path) or size > most:
            continue
        title, text = from_html(found[path])
        kept = []
        for block in text.split("\n\n"):   # licences and navigation repeat from page to page
            if len(block) > 60 and not block.startswith("```"):
                if block in seen:
                    continue
                seen.add(block)
            kept.append(block)
        text = "\n\n".join(kept)
        if len(text) > 300 and title:
            documents.append({"source": package, "title": title, "text": text})
            size += len(text.encode())
    return documents, where


def read_handbook(folder):
    """The prose of the handbook's documents; code and results are left out."""
    documents = []
    for file in sorted(folder.glob("*/*.md")):
        head, _, body = file.read_text(encoding="utf-8").partition("\n---\n")
        title = re.search(r"(?m)^title: (.*)$", head)
        body = re.sub(r"(?ms)^```\w*\n.*?^```$", "", body)
        if title:
            documents.append({"source": "handbook", "title": title[1], "text": re.sub(r"\n{3,}", "\n\n", body).strip()})
    return documents
