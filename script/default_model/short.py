"""The part of a sentence that answers, where the question asks for a figure, a name, a reason or a time: what counts as an answer beside the sentence.

Written ones (short.jsonl) come first, rules follow. People and benchmarks expect "inventory and prepaid expenses", not the sentence that says so.
"""
import re

units = (r"percentage points|percent|per cent|euros|dollars|pounds|million|billion|days|years|months|weeks|hours|minutes|seconds|milliseconds|bytes|bits|times|shares|"
         r"rows|units|points|kg|km|people|employees|entries|day|year|month|week|hour|minute")
quantity = re.compile(rf"(?<![\w.`/-])-?[$€£]?\d(?:[\d,]*\d)?(?:\.\d+)?(?!\w)(?:%| (?:{units})\b)*")
asks_figure = re.compile(r"\bhow (many|much|long|high|large|far|often|old|big|fast)\b|\bwhat (percentage|share of|figure|amount|number|profit|price|value|rate)\b|\bcost(s)?\?|\bworth\b|"
                         r"\b(in|since) which (year|version)\b|\bcome(s)? to\b|\bhow .{3,40} (is|are) (the|our|it)\b")
code_noun = re.compile(r"^(which|what) (\w+ )?(function|method|class|module|command|option|statement|keyword|clause|operator|type|argument|decorator|setting|attribute|exception|error|pragma|word|"
                       r"variable|fixture|mark|file|package|library|tool|event|character|sign|letter|format|form)\b")


def figures(sentence):
    """Amounts in a sentence; years, versions of something named and places in a list are none."""
    bare = re.sub(r"`[^`]*`", lambda m: "~" * len(m[0]), sentence)
    return [m[0].strip() for m in quantity.finditer(bare) if not re.search(r"(\b[A-Z]\w+|\bindex|\bversion|\byears?) $", bare[:m.start()]) and not re.fullmatch(r"(19|20)\d\d", m[0].strip())]


def derive(question, sentence):
    """The phrase of the sentence that answers, or None where the whole sentence should."""
    q, s = question.lower().replace("`", ""), sentence.strip()
    if "\n" in s or s.startswith("```") or len(s.split()) < 6:
        return None
    s = s.rstrip(".!")
    if re.search(r"\b(why|reason)\b", q):
        if m := re.match(r"(Because|Since|As) ([^,]{8,}(?:, which [^,]+)?), ", s):
            return f"{m[1].lower()} {m[2]}"
        if m := re.search(r"\b(because|since) (?!version|the start|Python|\d)(.{8,})$", s):
            return f"{m[1]} {m[2]}"
        return None
    if asks_figure.search(q):
        given = set(re.findall(r"\d[\d.,]*", question))
        found = [f for f in figures(s) if not set(re.findall(r"\d[\d.,]*", f)) & given]
        formula = re.search(r" [*/^+] ", s)
        if m := re.search(r"(?:, which is|, so .{3,60} (?:is|are)) (?:about |only )?([^,]{1,40})$", s):
            if len(figures(m[1])) == 1:
                return figures(m[1])[0]
        return found[0] if len(found) == 1 and not formula else None
    if re.search(r"(^|[.?:,] |, )(what|which|how|at what|by what|from which|at which)\b", q) and not re.search(r"\b(what if|happens?|mean|formula|how (do|can|is|are|does|did) )", q):
        # A worked figure, as in "The beta of the share is 9.70 / 6.70, which is 1.45."
        given = set(re.findall(r"\d[\d.,]*", question))
        if (m := re.search(r", which is (?:about |only )?([^,]{1,30})$", s)) and len(figures(m[1])) == 1:
            return figures(m[1])[0]
        found = [f for f in figures(s) if not set(re.findall(r"\d[\d.,]*", f)) & given]
        if len(found) == 1 and re.search(r"[$€£%.]|\d[\d,]{2,}| [a-z]", found[0]) and not re.search(r" [*/^+=] ", s) and re.search(
                r"\b(is|are|was|were|costs?|to|of|worth|at|for|about|gives?|brings?|earns?|pays?|has|saves?|only|by) " + re.escape(found[0]), s):
            return found[0]
    if code_noun.match(q) and "concerns" not in q:
        codes = re.findall(r"`([^`]+)`", s)
        return f"`{codes[0]}`" if len(codes) == 1 and codes[0].lower() not in q and len(codes[0]) < 60 else None
    if re.search(r"\b(called|the name (of|for)|the term|another name)\b", q):
        m = re.search(r"\b(?:called|known as|named) ((?:an? |the )?[\w`' -]{3,40}?)(?:$|,| which| that| and| when| in )", s)
        return m[1] if m else None
    if q.startswith("when ") or q.startswith("under which condition"):
        if m := re.match(r"(When|If|After|Before|Once|Until|As soon as) ([^,]{8,}), ", s):
            return f"{m[1].lower()} {m[2]}"
        if m := re.search(r"\b((?:only |exactly )?(?:when|if|before|after(?! which)|until|as soon as|unless|as long as) .{8,}?)(?:$|, and |, while |, whereas )", s):
            return m[1]
    return None
