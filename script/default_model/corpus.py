#!/usr/bin/env python3
"""Builds the training text from the free documentation that Debian packages ship.

    corpus.py --debs DIR --out corpus.jsonl.xz [--download]

Reads the .deb files in DIR (with --download: fetches them first by `apt-get download`), turns HTML, DocBook, POD, man pages,
info files and dictionaries into plain Markdown-like text, removes duplicates, and writes one JSON object per document:
{"source": package, "title": text, "text": text, "split": "train" | "valid"}. Package, version, licence file and size are
written beside it as sources.json. Needs python3-lxml, dpkg-deb, xz.
"""
import argparse, collections, concurrent.futures, functools, hashlib, json, lzma, pathlib, re, shutil, subprocess, sys

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

# More English for the base alone; no question is asked of it.
wide = {
    "abs-guide": 4, "ada-reference-manual-2012": 3, "apt-doc": 3, "aptitude-doc-en": 3, "bacula-doc": 4, "bible-kjv-text": 4,
    "c++-annotations-html": 4, "cinder-doc": 3, "clisp-doc": 3, "csound-doc": 3, "db5.3-doc": 3, "debian-kernel-handbook": 3,
    "debmake-doc": 3, "derby-doc": 5, "dict-devil": 3, "doc-debian": 3, "docbook-xsl-doc-html": 3, "erlang-doc": 5, "evince-common": 3,
    "firebird3.0-doc": 4, "flask-sqlalchemy-doc": 3, "gap-doc": 3, "gedit-common": 3, "ghc-doc": 3, "ghostscript-doc": 3, "glance-doc": 3,
    "gnome-devel-docs": 3, "gnome-user-docs": 4, "gnutls-doc": 3, "golang-1.19-doc": 4, "graphviz-doc": 3, "groovy-doc": 3,
    "guile-3.0-doc": 3, "haproxy-doc": 3, "icinga2-doc": 4, "imagemagick-6-doc": 3, "inkscape-tutorials": 3, "installation-guide-amd64": 3,
    "jmeter-help": 3, "kea-doc": 3, "keystone-doc": 3, "kile-doc": 3, "krb5-doc": 3, "lemonldap-ng-doc": 3, "libboost1.81-doc": 6,
    "libcatalyst-manual-perl": 3, "libdancer2-perl": 3, "libdatetime-perl": 2, "libdbi-perl": 3, "libdbix-class-perl": 3,
    "libmojolicious-perl": 2, "libmoose-perl": 2, "libstdc++-12-doc": 3, "libtest-simple-perl": 3, "lilypond-doc-html": 4,
    "live-manual-html": 3, "mailman3-doc": 3, "mate-user-guide": 3, "maxima-doc": 3, "mercurial-common": 3, "mh-book": 3,
    "mit-scheme-doc": 3, "monodoc-manual": 3, "neutron-doc": 3, "nginx-doc": 3, "nodejs-doc": 4, "nova-doc": 3, "ntpsec-doc": 3,
    "openafs-doc": 3, "praw-doc": 3, "python-agate-doc": 3, "python-apsw-doc": 3, "python-arrow-doc": 3, "python-astropy-doc": 3,
    "python-attr-doc": 3, "python-babel-doc": 3, "python-biopython-doc": 3, "python-black-doc": 3, "python-bottle-doc": 3,
    "python-bs4-doc": 3, "python-cffi-doc": 3, "python-cherrypy3-doc": 3, "python-click-doc": 3, "python-cmd2-doc": 3,
    "python-coverage-doc": 3, "python-cryptography-doc": 3, "python-distributed-doc": 3, "python-django-allauth-doc": 3,
    "python-django-channels-doc": 3, "python-django-extensions-doc": 3, "python-djangorestframework-doc": 3, "python-doit-doc": 3,
    "python-elasticsearch-doc": 3, "python-eventlet-doc": 3, "python-factory-boy-doc": 3, "python-fsspec-doc": 3, "python-gevent-doc": 3,
    "python-git-doc": 3, "python-graphene-doc": 3, "python-h5py-doc": 3, "python-hypothesis-doc": 3, "python-ipython-doc": 3,
    "python-jsonschema-doc": 3, "python-kombu-doc": 3, "python-lark-doc": 3, "python-ldap-doc": 3, "python-logbook-doc": 3,
    "python-lxml-doc": 3, "python-mako-doc": 3, "python-mongoengine-doc": 3, "python-mutagen-doc": 3, "python-openstacksdk-doc": 1,
    "python-pexpect-doc": 3, "python-pil-doc": 3, "python-pint-doc": 3, "python-psutil-doc": 3, "python-pygments-doc": 3,
    "python-pymongo-doc": 3, "python-pymysql-doc": 3, "python-pyparsing-doc": 3, "python-rdflib-doc": 3, "python-reportlab-doc": 3,
    "python-scrapy-doc": 3, "python-sentry-sdk-doc": 1, "python-setuptools-doc": 3, "python-simpy-doc": 3, "python-sqlalchemy-utils-doc": 3,
    "python-sqlparse-doc": 3, "python-structlog-doc": 3, "python-tables-doc": 3, "python-toolz-doc": 3, "python-traitlets-doc": 3,
    "python-typer-doc": 3, "python-urwid-doc": 3, "python-webob-doc": 3, "python-werkzeug-doc": 3, "python-whoosh-doc": 3,
    "python-wtforms-doc": 3, "python-yoyo-doc": 3, "qtbase5-doc-html": 4, "qtcreator-doc": 4, "quassel-data": 3, "racket-doc": 5,
    "renpy-doc": 3, "rt5-doc-html": 3, "sbcl-doc": 3, "shorewall-doc": 4, "skrooge-common": 3, "slurm-wlm-doc": 3, "snakemake-doc": 3,
    "swift-doc": 3, "tcl8.6-doc": 3, "tellico-doc": 3, "tk8.6-doc": 3, "ubuntu-packaging-guide-html": 3, "wireshark-doc": 3,
}


def download(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for name in packages | wide:
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


def read(debs, name):
    """A package's documents, version and licences, or None; kept beside the .deb file, and read from there the next time."""
    found = sorted(debs.glob(name + "_*.deb"))
    if not found:
        return None
    kept = found[-1].with_suffix(".json")
    if kept.exists():
        return json.loads(kept.read_text())
    tree, size, texts = debs / "tree" / name, 0, []
    tree.mkdir(parents=True, exist_ok=True)
    subprocess.run(["dpkg-deb", "-x", found[-1], tree], check=True)
    # Hash order mixes the files, so that a package's limit takes a sample of it and not its first letters.
    for title, text in extract.documents(name, tree):
        if len(text.strip()) >= 200 and is_english(text):
            texts.append((title, text.strip())); size += len(text.encode())
        # Twice the limit: repeated paragraphs are still to be dropped.
        if size > 2e6 * (packages | wide)[name]:
            break
    copyright_file = next(iter(tree.glob("usr/share/doc/*/copyright")), None)
    licences = []
    if copyright_file and copyright_file.exists():
        licences = sorted(set(re.findall(r"^License:[ ]*([A-Z][\w.+-]*(?: (?:or|and|with) [\w.+ -]+)?)$", copyright_file.read_text(errors="replace"), re.M)))[:8]
    version = subprocess.run(["dpkg-deb", "-f", found[-1], "Version"], capture_output=True, text=True).stdout.strip()
    shutil.rmtree(tree)
    kept.write_text(json.dumps({"texts": texts, "version": version, "licences": licences}, ensure_ascii=False))
    return json.loads(kept.read_text())


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--debs", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--download", action="store_true")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    if options.download:
        download(options.debs)
    every = packages | wide
    seen, sources, count = set(), [], collections.Counter()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with lzma.open(options.out, "wt", preset=4) as out, concurrent.futures.ProcessPoolExecutor(options.jobs) as pool:
        for name, found in zip(every, pool.map(functools.partial(read, options.debs), every)):
            if not found:
                print(f"missing {name}", file=sys.stderr)
                continue
            size, documents = 0, 0
            for title, text in found["texts"]:
                text = unique_paragraphs(text, seen).strip()
                if len(text) < 200 or not is_english(text):
                    continue
                digest = hashlib.blake2b(text.encode(), digest_size=4).digest()
                split = "valid" if digest[0] < 3 else "train"
                out.write(json.dumps({"source": name, "title": title, "text": text, "split": split}, ensure_ascii=False) + "\n")
                size += len(text.encode()); documents += 1; count[split] += len(text.encode())
                if size > every[name] * 1e6:
                    break
            sources.append({"package": name, "version": found["version"], "licences": found["licences"], "documents": documents, "bytes": size})
            print(f"{name:28s} {documents:6d} documents {size / 1e6:7.2f} MB  {', '.join(found['licences'])[:60]}", flush=True)
    pathlib.Path(str(options.out).replace(".jsonl.xz", ".sources.json")).write_text(json.dumps(sources, indent=1))
    print(f"train {count['train'] / 1e6:.1f} MB, valid {count['valid'] / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
