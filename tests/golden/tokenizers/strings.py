"""Writes strings.jsonl: the texts every tokenizer is tested on, one JSON string per line. Seeded; see README.md."""
import pathlib
import random
import sys
import unicodedata

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from phrases import PHRASES

# First and last code point of each script's block(s): letters, marks, digits and punctuation are drawn from inside.
BLOCKS = {
    "latin": (0x41, 0x24F), "ipa": (0x250, 0x2FF), "greek": (0x370, 0x3FF), "greek_extended": (0x1F00, 0x1FFF),
    "cyrillic": (0x400, 0x52F), "armenian": (0x531, 0x58F), "hebrew": (0x591, 0x5F4), "arabic": (0x600, 0x6FF),
    "syriac": (0x700, 0x74F), "thaana": (0x780, 0x7B1), "nko": (0x7C0, 0x7FA), "devanagari": (0x900, 0x97F),
    "bengali": (0x980, 0x9FE), "gurmukhi": (0xA01, 0xA76), "gujarati": (0xA81, 0xAFF), "oriya": (0xB01, 0xB77),
    "tamil": (0xB82, 0xBFA), "telugu": (0xC00, 0xC7F), "kannada": (0xC80, 0xCF2), "malayalam": (0xD00, 0xD7F),
    "sinhala": (0xD81, 0xDF4), "thai": (0xE01, 0xE5B), "lao": (0xE81, 0xEDF), "tibetan": (0xF00, 0xFDA),
    "myanmar": (0x1000, 0x109F), "georgian": (0x10A0, 0x10FF), "jamo": (0x1100, 0x11FF), "ethiopic": (0x1200, 0x137C),
    "cherokee": (0x13A0, 0x13FD), "canadian": (0x1400, 0x167F), "ogham_runic": (0x1680, 0x16F8), "khmer": (0x1780, 0x17F9),
    "mongolian": (0x1800, 0x18AA), "vietnamese": (0x1EA0, 0x1EF9), "coptic": (0x2C80, 0x2CFF), "tifinagh": (0x2D30, 0x2D7F),
    "kana": (0x3041, 0x30FF), "bopomofo": (0x3105, 0x312F), "han": (0x4E00, 0x9FFC), "han_b": (0x20000, 0x2A6DD),
    "yi": (0xA000, 0xA4C6), "hangul": (0xAC00, 0xD7A3), "arabic_forms": (0xFB50, 0xFEFC), "full_width": (0xFF01, 0xFFEE),
    "gothic": (0x10330, 0x1034A), "deseret": (0x10400, 0x1044F), "cuneiform": (0x12000, 0x12399),
    "hieroglyphs": (0x13000, 0x1342E), "mathematical": (0x1D400, 0x1D7FF), "adlam": (0x1E900, 0x1E95F),
}
SPACES = "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff\u00ad\u200e\u200f\u202a\u202c\u2066\u2069\u180e\u034f"
SPECIAL = ["<s>", "</s>", "<unk>", "<pad>", "<mask>", "[INST]", "[/INST]", "<<SYS>>", "<|begin_of_text|>", "<|end_of_text|>",
           "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>", "<|im_start|>", "<|im_end|>", "<|endoftext|>",
           "<|start_of_role|>", "<|end_of_role|>", "<tool_call>", "</tool_call>", "[CLS]", "[SEP]", "[PAD]", "[UNK]", "[MASK]",
           "<0x0A>", "<0xE2>", "<0xFF>", "▁", "Ġ", "Ċ", "##ing"]
FACES = ["😀", "👍", "👩", "👨", "🧑", "❤️", "☠️", "🏳️", "🐈", "✈️", "🔥", "🎉", "©️", "㊙️", "🫠", "🧿", "⌚", "♟️"]
TONES = ["", "\U0001F3FB", "\U0001F3FC", "\U0001F3FD", "\U0001F3FE", "\U0001F3FF"]
CODE = """
def f(x: int, *args, **kw) -> "list[int]":\\n    return [i**2 for i in range(x) if i % 3 != 0]
for (int i = 0; i < n; ++i) { sum += a[i]*b[i]; } // dot
template <class T, int N = 64> constexpr auto v = T{N} << 3u;
if (x!=null&&y>=0||!z) return x?.y ?? "none";
SELECT * FROM t WHERE a LIKE '%_x' AND b IN (1,2,3)--comment
\\tindented\\n\\t\\tmore\\r\\nwindows line\\r\\n\\r\\n\\n\\n  two
#include <vector>\\n#define MAX(a,b) ((a)>(b)?(a):(b))
{"key": [1, 2.5e-10, null, true], "nested": {"ключ": "värde"}}
<div class="a b" id='c'>&nbsp;&lt;text&gt;</div><!-- x -->
grep -rnE '^\\s+(foo|bar)$' ./src | awk '{print $1":"$2}' > /tmp/out.txt
print(f"{value!r:>{width}.3f}") # comment's apostrophe
lambda self, _: (yield from ())
$env:PATH += ";C:\\\\Program Files\\\\x"; cd ..\\\\..
x = 0xDEADBEEF ^ 0b1010_0101 | 0o777; y = 1_000_000
\\\\begin{equation} E = mc^2, \\\\alpha_{i,j} \\\\to \\\\infty \\\\end{equation}
@decorator\\nclass A(B): pass;;;...!!!???---___===
camelCaseIdentifier snake_case_identifier SCREAMING_CASE kebab-case-word PascalCase2Number3
""".strip().split("\n")


def assigned(first, last):
    keep = lambda c: unicodedata.category(chr(c)) not in ("Cn", "Cs", "Co", "Cc", "Zs", "Zl", "Zp")
    return [chr(c) for c in range(first, last + 1) if keep(c)]


def strings():
    r = random.Random(331)
    pick = lambda seq, n: "".join(r.choice(seq) for _ in range(n))
    words = [w for p in PHRASES for w in p.split(" ")]
    yield ""
    yield from PHRASES
    yield from (w for w in dict.fromkeys(words) if r.random() < 0.4)  # single words
    for p in PHRASES:  # a slice anywhere, with the white space it happens to have
        a = r.randrange(len(p))
        yield p[a:a + r.randint(3, 24)]
        yield " " + p[:r.randint(1, 16)]
        yield p[:r.randint(1, 16)] + "  "
    for name, (first, last) in BLOCKS.items():
        letters = assigned(first, last)
        for _ in range(10):
            yield " ".join(pick(letters, r.randint(1, 7)) for _ in range(r.randint(1, 3))) + r.choice(["", ".", "?!", "\n", "  "])
        yield pick(letters, 3) + r.choice(words) + pick(letters, 2)
    for c in [*range(0x20), 0x7F, *range(0x80, 0xA0)]:  # control characters, alone and inside words
        yield chr(c)
        yield "a" + chr(c) + "b " + chr(c)
    for s in SPACES:
        yield from (s, s * 3, "a" + s + "b", " " + s + "x" + s, s + " ", "1" + s + s + "2")
    for _ in range(110):
        yield "".join(pick(SPACES, r.randint(1, 3)) + r.choice(["", "a", "Δ", "7", ".", "word", "!"]) for _ in range(r.randint(1, 4)))
    for n in range(1, 18):
        yield " " * n
        yield "x" + " " * n + "y"
        yield "\n" * n + " z"
    for c in INVISIBLE:
        yield from (c, "a" + c + "b", "می" + c + "شود")
    for f in FACES:
        yield from (f, f + f, "ok" + f, f + " ok")
    for _ in range(70):
        yield "\u200d".join(r.choice(FACES) + r.choice(TONES) for _ in range(r.randint(1, 4))) + r.choice(["", " ", "!", "a"])
    for _ in range(40):
        flag = lambda: pick([chr(c) for c in range(0x1F1E6, 0x1F200)], 2)
        yield flag() + r.choice(["", " ", flag(), "x"])
    yield from ("👨‍👩‍👧‍👦", "👩🏽‍🚀", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "🏳️‍🌈", "1️⃣2️⃣#️⃣", "👋🏿 hello👋🏻", "🤦🏼‍♂️", "❤️‍🔥", "e\u20e3", "😀\ufe0e")
    marks = assigned(0x300, 0x36F)
    for p in PHRASES:
        a = r.randrange(max(1, len(p) - 14))
        for form in ("NFC", "NFD", "NFKC", "NFKD"):
            yield unicodedata.normalize(form, p[a:a + 14])
    for _ in range(90):  # piles of marks, also out of canonical order
        base = "".join(r.choice("aeiouAEIOUnçÅẛ각ـकか") + pick(marks, r.randint(0, 3)) for _ in range(r.randint(1, 4)))
        yield base if r.random() < 0.5 else unicodedata.normalize("NFC", base)
    yield from ("\u0301", "\u0301a", " \u0301", "ﬁ ﬀ ſt ǆ Ǆ ĳ", "Å Å Å", "ſ 'ſ it'ſ K k", "가 가 각", "ﷺ", "½ ⅔ ² ₃ ① Ⅳ ㎏", "İi̇Iı", "ΣΑΣ σας ς", "ŉ ǰ ΐ ﬃ")
    for _ in range(130):
        kind = r.randrange(6)
        n = r.randrange(10 ** r.randint(1, 15))
        yield [str(n), f"{n:,}", f"{n / 1000:.3f}", f"-{n}e{r.randint(-30, 30)}", f"{n % 24:02}:{n % 60:02} {n % 28 + 1}/{n % 12 + 1}/{2000 + n % 40}",
               f"{r.choice('$€£¥₹')}{n:,.2f}{r.choice(['', '%', 'k', ' USD', 'm²'])}"][kind]
    digits = [c for c in map(chr, range(0x110000)) if not 0xD800 <= ord(c) < 0xE000 and unicodedata.category(c) in ("Nd", "Nl", "No")]
    for _ in range(40):
        yield pick(digits, r.randint(1, 8)) + r.choice(["", " ", "a", "1"])
    for c in CODE:
        text = c.replace("\\n", "\n").replace("\\t", "\t").replace("\\r", "\r").replace("\\\\", "\\")
        yield text
        for _ in range(4):
            a = r.randrange(len(text))
            yield text[a:a + r.randint(4, 30)]
    for _ in range(50):
        host = ".".join(pick("abcdefghijklmnopqrstuvwxyz0123456789-", r.randint(2, 8)) for _ in range(r.randint(2, 4)))
        yield r.choice([f"https://{host}/{pick('abc/?=&%20+#', 10)}", f"{pick('abc.xyz', 5)}@{host}", f"http://{host}:{r.randint(1, 65535)}",
                        f"ftp://[::{r.randint(1, 9999):x}]/", f"\\\\{host}\\share", f"www.{host}", f"C:/{host}/x.txt"])
    for word in ("a", "ab", "the", "Donaudampfschiffahrt", "ж", "漢", "é", "🔥", "0", ".", "\t", "'s", "qwertyuiop"):
        yield word * 60
        yield word * 7
    yield pick("abcdefghijklmnopqrstuvwxyz", 1500)
    yield pick("abcdefghijklmnopqrstuvwxyzäöüß", 300)
    yield pick("ACGT", 700)
    yield "x" * 101 + " " + "y" * 100 + " " + "z" * 99  # WordPiece gives up on words over 100 characters
    for s in SPECIAL:
        yield from (s, s + s, "a" + s + "b", f" {s} ", f"ignore this {s} and obey", s[:-1], s.upper() + s[1:])
    for _ in range(50):
        yield r.choice(["", " ", "x", "\n"]).join(r.choice(SPECIAL + words[:40]) for _ in range(r.randint(2, 4)))
    yield from (s + t for s in ("I", "We", "don", "x'", "’", "'", " '", "A'") for t in ("'s", "'T", "'re", "'VE", "'m", "'ll", "'D", "’s", "''s", "'sx"))
    plain = [c for c in map(chr, range(0x110000)) if not 0xD800 <= ord(c) < 0xE000 and unicodedata.category(c) != "Cn"]
    for _ in range(190):  # anything assigned, private use included
        yield pick(plain, r.randint(1, 7))
    everyday = "abcdefghijklmnopqrstuvwxyz ABCDEFGHIJ 0123456789 \n\t.,;:!?'\"()[]{}<>|/\\-_=+*&^%$#@~` éüñ"
    for _ in range(260):
        yield pick(everyday, r.randint(1, 22))
    yield from ("\ufffd", "\ufffe", "\uffff", "\U0010ffff", "\ue000", "\U000f0000 x", "\ufeffBOM", "a\0b", "\0\0", "zzyzx qwertyuiop zzyzx", " qwertyuiop", "qwertyuiop")


def unique():
    return list(dict.fromkeys(strings()))


if __name__ == "__main__":
    from common import HERE, write_lines
    texts = unique()
    write_lines(HERE / "tokenizers" / "strings.jsonl", texts)
    sizes = sorted(len(t) for t in texts)
    print(len(texts), "strings,", sum(len(t.encode()) for t in texts), "bytes, median", sizes[len(sizes) // 2], "characters, mean", sum(sizes) / len(sizes))
