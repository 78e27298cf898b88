#!/usr/bin/env python3
"""Builds the training text from the free documentation that Debian packages ship.

    corpus.py --debs DIR --out corpus.jsonl.xz [--download]

Reads the .deb files in DIR (with --download: fetches them first by `apt-get download`), turns HTML, DocBook, POD, man pages,
info files and dictionaries into plain Markdown-like text, removes duplicates, and writes one JSON object per document:
{"source": package, "title": text, "text": text, "split": "train" | "valid"}. Package, version, licence file and size are
written beside it as sources.json. Needs python3-lxml, dpkg-deb, xz.
"""
import argparse, collections, hashlib, json, lzma, pathlib, re, subprocess, sys

import extract

# Package -> most megabytes of text taken from it: the limits keep API references from drowning the prose.
packages = {
    "python3.11-doc": 16, "postgresql-doc-15": 12, "sqlite3-doc": 12, "gnucash-docs": 4, "debian-handbook": 4,
    "debian-reference-en": 2, "perl-doc": 8, "git-doc": 4, "apache2-doc": 4, "python-pandas-doc": 6, "python-scipy-doc": 4,
    "python-sqlalchemy-doc": 6, "python-django-doc": 8, "vim-doc": 4, "r-doc-html": 4, "anarchism": 10, "zsh-doc": 2,
    "dict-gcide": 10, "dict-foldoc": 6, "dict-jargon": 2, "dict-vera": 1, "fortunes": 3, "debian-faq": 1,
    "developers-reference": 1, "maint-guide": 1, "harden-doc": 2, "debian-policy": 2, "debian-history": 1,
    "gnumeric-doc": 2, "libreoffice-help-en-us": 8, "manpages": 3, "manpages-dev": 4, "octave-doc": 3,
    "python-sklearn-doc": 5, "python-statsmodels-doc": 3, "python-flask-doc": 1, "python-requests-doc": 1,
    "python-jinja2-doc": 1, "python-pytest-doc": 2, "python-aiohttp-doc": 1, "python-tornado-doc": 1, "twisted-doc": 2,
    "rust-doc": 8, "postgis-doc": 2, "exim4-doc-html": 2, "postfix-doc": 3, "bind9-doc": 2, 
    "homebank-data": 1, "grisbi-common": 1, "debian-edu-doc-en": 2, "python-celery-doc": 2,
    "python-dask-doc": 2, "python-xarray-doc": 2, "sphinx-doc": 2, "python-peewee-doc": 1, "python-psycopg-doc": 1,
    "python-psycopg2-doc": 1, "python-sympy-doc": 3, "glibc-doc": 3, "pgpool2": 2, "barman": 1, "linux-doc-6.1": 10,
    "cppreference-doc-en-html": 3, "swi-prolog-doc": 2, "ledger": 1, "hledger": 2, "bash-doc": 1, "cmake-doc": 2,
    "kmymoney-common": 2, "gimp-help-en": 4, "wordnet-base": 12,
}


def download(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for name in packages:
        if not list(folder.glob(name + "_*.deb")):
            subprocess.run(["apt-get", "download", "-q", name], cwd=folder, check=False)


def is_english(text):
    """A share of stop words that no other language of these packages reaches."""
    words = re.findall(r"[a-z]+", text[:20000].lower())
    common = sum(w in ("the", "of", "and", "to", "is", "a", "in", "for", "that", "be") for w in words)
    return len(words) > 20 and common > 0.12 * len(words)


def unique_paragraphs(text, seen):
    """Drops paragraphs that an earlier document already had: licences, navigation, repeated inheritance notes."""
    kept, inside = [], False
    for block in text.split("\n\n"):
        # Code may hold blank lines: its parts stay together, or the fences would no longer pair.
        fences = len(re.findall(r"(?m)^```", block))
        if inside or fences % 2:
            inside ^= bool(fences % 2)
            kept.append(block)
            continue
        key = hashlib.blake2b(re.sub(r"\W+", "", block).lower().encode(), digest_size=8).digest()
        if len(block) > 80:
            if key in seen:
                continue
            seen.add(key)
        kept.append(block)
    return "\n\n".join(kept)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--debs", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--download", action="store_true")
    options = parser.parse_args()
    if options.download:
        download(options.debs)
    seen, sources, count = set(), [], collections.Counter()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with lzma.open(options.out, "wt", preset=4) as out:
        for name, limit in packages.items():
            found = sorted(options.debs.glob(name + "_*.deb"))
            if not found:
                print(f"missing {name}", file=sys.stderr)
                continue
            field = lambda key: subprocess.run(["dpkg-deb", "-f", found[-1], key], capture_output=True, text=True).stdout.strip()
            tree = options.debs / "tree" / name
            if not tree.exists():
                tree.mkdir(parents=True)
                subprocess.run(["dpkg-deb", "-x", found[-1], tree], check=True)
            size, documents = 0, 0
            # Hash order mixes the files, so that a package's limit takes a sample of it and not its first letters.
            for title, text in extract.documents(name, tree):
                text = unique_paragraphs(text, seen).strip()
                if len(text) < 200 or not is_english(text):
                    continue
                digest = hashlib.blake2b(text.encode(), digest_size=4).digest()
                split = "valid" if digest[0] < 3 else "train"
                out.write(json.dumps({"source": name, "title": title, "text": text, "split": split}, ensure_ascii=False) + "\n")
                size += len(text.encode()); documents += 1; count[split] += len(text.encode())
                if size > limit * 1e6:
                    break
            copyright_file = next(iter(tree.glob("usr/share/doc/*/copyright")), None)
            licences = []
            if copyright_file and copyright_file.exists():
                licences = sorted(set(re.findall(r"^License:[ ]*([A-Z][\w.+-]*(?: (?:or|and|with) [\w.+ -]+)?)$", copyright_file.read_text(errors="replace"), re.M)))[:8]
            sources.append({"package": name, "version": field("Version"), "licences": licences, "documents": documents, "bytes": size})
            print(f"{name:28s} {documents:6d} documents {size / 1e6:7.2f} MB  {', '.join(licences)[:60]}", flush=True)
    pathlib.Path(str(options.out).replace(".jsonl.xz", ".sources.json")).write_text(json.dumps(sources, indent=1))
    print(f"train {count['train'] / 1e6:.1f} MB, valid {count['valid'] / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
