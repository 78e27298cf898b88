"""Turns the files of one unpacked documentation package into (title, text) pairs of Markdown-like text."""
import gzip, hashlib, html, re

import lxml.etree, lxml.html

headings = {"h1": 1, "h2": 2, "h3": 3, "h4": 4, "h5": 5, "h6": 6, "title": 3}
dropped = {"script", "style", "nav", "header", "footer", "form", "button", "svg", "img", "iframe", "noscript", "head", "math",
           "indexterm", "sidebar", "select"}
dropped_class = re.compile(r"sphinxsidebar|related|navheader|navfooter|toc|headerlink|breadcrumb|sidebar|menu|noprint|"
                           r"copyright|footnotes-list|viewcode|prev-next|navigation|fancy_toc|linenos", re.I)
code_tags = {"pre", "programlisting", "screen", "synopsis", "literallayout"}
block_tags = {"p", "para", "simpara", "td", "th", "tr", "li", "listitem", "dd", "dt", "term", "div", "section", "table", "ul",
              "ol", "dl", "blockquote", "sect1", "sect2", "sect3", "chapter", "note", "tip", "warning", "figure", "caption",
              "figcaption", "center", "main", "article", "body"} | code_tags | set(headings)


def inline(element):
    return re.sub(r"\s+", " ", "".join(element.itertext())).replace("¶", "").strip()


def walk(element, blocks):
    """Appends the blocks of an element in document order; text between block children becomes its own paragraph."""
    tag = element.tag
    if not isinstance(tag, str):
        return
    tag = tag.rsplit("}", 1)[-1]
    if tag in dropped or dropped_class.search((element.get("class") or "") + " " + (element.get("id") or "")) and tag != "body":
        return
    if tag in headings:
        text = inline(element)
        if 1 < len(text) < 160:
            blocks.append("#" * headings[tag] + " " + re.sub(r"^[\d.]+\s+", "", text))
    elif tag in code_tags:
        text = "".join(element.itertext()).strip("\n").rstrip()
        if text.strip():
            blocks.append("```\n" + re.sub(r"(?m)^```", " ```", text) + "\n```")
    elif tag == "tr":
        cells = [inline(c) for c in element if isinstance(c.tag, str)]
        if any(cells):
            blocks.append("| " + " | ".join(cells))
    elif tag in ("dt", "term"):
        text = inline(element)
        if text:
            blocks.append("@ " + text)
    else:
        mark = len(blocks)
        pending = [element.text or ""]
        def flush():
            text = re.sub(r"\s+", " ", "".join(pending)).replace("¶", "").strip()
            pending.clear()
            if len(text) > 1:
                blocks.append(text)
        for child in element:
            if isinstance(child.tag, str):
                name = child.tag.rsplit("}", 1)[-1]
                if name in block_tags or child.xpath("boolean(.//p|.//pre|.//li|.//tr|.//dd|.//para)"):
                    flush(); walk(child, blocks)
                elif name == "br":
                    pending.append(" ")
                elif name not in dropped and not dropped_class.search(child.get("class") or ""):
                    pending.append("".join(child.itertext()))
            pending.append(child.tail or "")
        flush()
        if tag in ("li", "listitem") and len(blocks) > mark and blocks[mark][:1] not in "#`|@-":
            blocks[mark] = "- " + blocks[mark]


def join(blocks):
    text = ""
    for before, block in zip([""] + blocks, blocks):
        tight = before[:1] == block[:1] and block[:1] in "|-" or before[:1] == "@"
        text += ("\n" if tight else "\n\n") + block
    return re.sub(r"(?m)^@ ", "", text).strip()


def from_html(data):
    tree = lxml.html.document_fromstring(data, parser=lxml.html.HTMLParser(encoding="utf-8", huge_tree=True))
    titles = tree.xpath("//h1 | //title")
    title = inline(titles[0]) if titles else ""
    root = next(iter(tree.xpath("//*[@role='main'] | //main | //div[@class='body'] | //div[@id='page-content']")), None)
    root = root if root is not None else tree.find("body")
    blocks = []
    if root is not None:
        walk(root, blocks)
    return re.sub(r"^[\dA-Z]{1,2}(\.\d+)*\.\s+", "", re.split(r" [—|] |\s+-\s+|::: ", title)[0]), join(blocks)


def from_docbook(data):
    data = re.sub(rb"&(?!amp|lt|gt|quot|#)[\w.-]+;", b"", re.sub(rb"<!DOCTYPE.*?(\]>|>)", b"", data, count=1, flags=re.S))
    tree = lxml.etree.fromstring(data, lxml.etree.XMLParser(recover=True, huge_tree=True))
    blocks = []
    walk(tree, blocks)
    return inline(next(iter(tree.xpath("//*[local-name()='title']")), tree))[:80], join(blocks)


def from_pod(text):
    text = re.sub(r"(?ms)^=(?:begin|for)\b.*?^=(?:end|cut)\b[^\n]*\n", "", text)
    for _ in range(2):
        text = re.sub(r"[BCFILSX]<<?\s?([^<>]*?)\s?>>?", lambda m: m.group(1).split("|")[0], text)
    text = html.unescape(re.sub(r"E<(\w+)>", r"&\1;", text))
    text = re.sub(r"(?m)^=head(\d)\s+", lambda m: "#" * int(m.group(1)) + " ", text)
    text = re.sub(r"(?m)^=item\s+(?:\*\s*)?", "", text)
    text = re.sub(r"(?m)^=(over|back|cut|pod|encoding).*\n", "", text)
    return re.sub(r"(?m)((?:^[ \t]+\S.*\n(?:[ \t]*\n(?=[ \t]))?)+)", r"```\n\1```\n", text)


def from_man(text):
    lines = []
    for line in text.split("\n"):
        line = re.sub(r"\\\*\(C[`']|\\f[BIRP]|\\f\(..|\\&|\\s[-+]?\d|\\/|\\,|\\%", "", line).replace("\\-", "-").replace("\\e", "\\")
        line = re.sub(r"\\\((?:lq|rq|dq)", '"', re.sub(r"\\\((?:aq|cq|oq)", "'", line)).replace("\\(em", " - ").replace("\\ ", " ")
        macro = re.match(r"[.'](\w+|\\\")\s*(.*)", line)
        if not macro:
            lines.append(line)
            continue
        name, rest = macro.group(1), macro.group(2).replace('"', "")
        if name in ("SH", "SS"):
            lines.append("\n## " + rest.capitalize() + "\n")
        elif name in ("PP", "TP", "IP", "P", "LP", "TQ"):
            lines.append("\n" + (rest if name == "IP" and not rest.startswith(("\\", "0", "*")) else ""))
        elif name in ("BR", "IR", "RB", "RI", "BI", "IB"):
            lines.append("".join(rest.split()) if rest.count(" ") < 3 else rest)
        elif name in ("B", "I", "SM", "SB"):
            lines.append(rest)
        elif name in ("nf", "EX"):
            lines.append("\n```")
        elif name in ("fi", "EE"):
            lines.append("```\n")
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines))


def from_dict(name, tree):
    """dictd databases: a dictionary's entries joined into documents of some thirty, each 'term\\ndefinition'."""
    data = next(tree.glob("usr/share/dictd/*.dict.dz"))
    text = gzip.decompress(data.read_bytes()).decode("utf-8", "replace")
    if name == "dict-gcide":
        text = re.sub(r"\[1913 Webster[^\]]*\]|\[PJC\]|\[Webster[^\]]*\]|\[WordNet[^\]]*\]|--[A-Z][^\n]{2,30}\.$", "", text, flags=re.M)
        entries = re.split(r"\n(?=[A-Z][\w' -]+ \\)", text)
        entries = [re.sub(r"\\[^\\\n]*\\,?|\[(?:L|F|OE|OF|Gr|G|AS|From|See|Cf|Obs|R)\b[^\]]*\]", "", e) for e in entries if len(e) < 3000]
    else:
        entries = re.split(r"\n(?=\S)", text)
    entries = [re.sub(r"\{([^{}]*)\}", r"\1", re.sub(r"\s+", " ", re.sub(r"\n\n", "\n", e, count=1)).strip()
                      if name == "dict-gcide" else re.sub(r"(?m)^ +", "", e).strip()) for e in entries]
    for start in range(0, len(entries), 30):
        yield "Dictionary", "\n\n".join(e for e in entries[start:start + 30] if len(e) > 40)


def from_wordnet(tree):
    """One line per sense: 'term (noun): gloss'."""
    lines = []
    for kind in ("noun", "verb", "adj"):
        for line in (tree / f"usr/share/wordnet/data.{kind}").read_text(errors="replace").splitlines():
            if line[:1] == " " or " | " not in line:
                continue
            head, gloss = line.split(" | ", 1)
            lines.append(f"{head.split()[4].replace('_', ' ')} ({kind}): {gloss.strip()}")
    lines.sort(key=lambda l: hashlib.blake2b(l.encode(), digest_size=4).digest())
    for start in range(0, len(lines), 30):
        yield "Dictionary", "\n\n".join(lines[start:start + 30])


def documents(name, tree):
    if name == "wordnet-base":
        yield from from_wordnet(tree)
        return
    if name.startswith("dict-"):
        yield from from_dict(name, tree)
        return
    files = sorted((f for f in tree.rglob("*") if f.is_file() and not f.is_symlink()),
                   key=lambda f: hashlib.blake2b(str(f.relative_to(tree)).encode(), digest_size=4).digest())
    for file in files:
        path = str(file.relative_to(tree))
        if name.startswith("python") and "/info/" in path:
            continue
        if re.search(r"/(genindex|search|modindex|py-modindex|contents|changelog|NEWS|copyright|_sources|_modules)|/(de|fr|es|it|ja|"
                     r"ru|pt|pt_BR|zh_CN|cs|ko|pl|tr|da|sv|nl|uk|ca|el|hu|ro)/|\.(de|fr|es|ja|ko|tr|da|pt-br|zh-cn|ru|pl)\.", path):
            continue
        try:
            data = file.read_bytes()
            if path.endswith(".gz"):
                data, path = gzip.decompress(data), path[:-3]
            stem = path.rsplit("/", 1)[-1].rsplit(".", 1)[0]
            if re.search(r"\.(html|htm|xhtml|xhp|html\.en)$", path):
                title, text = from_html(data)
            elif path.endswith((".docbook", ".page")) or path.endswith(".xml") and b"<para>" in data:
                title, text = from_docbook(data)
            elif path.endswith(".pod"):
                title, text = stem, from_pod(data.decode("utf-8", "replace"))
            elif re.search(r"/man/man\d/", path):
                title, text = stem, from_man(data.decode("utf-8", "replace"))
            elif path.endswith((".txt", ".info", ".md", ".rst")) or "/games/fortunes/" in path and "." not in stem and not path.endswith((".dat", ".u8")):
                title, text = stem, data.decode("utf-8", "replace").replace("\n%\n", "\n\n")
            else:
                continue
        except (OSError, ValueError, lxml.etree.LxmlError, StopIteration, AttributeError):
            continue
        # Documents beyond 60 kB are cut at headings so that the order of training stays mixed.
        while len(text) > 60000:
            cut = text.rfind("\n#", 20000, 60000)
            cut = cut if cut > 0 else text.rfind("\n\n", 20000, 60000)
            cut = cut if cut > 0 else 60000
            yield title, text[:cut]
            text = text[cut:]
        yield title, text
