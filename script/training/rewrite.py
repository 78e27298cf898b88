"""Summaries and rewrites whose result follows from rules, so that it can be checked: see verify_general.py."""
import re

from .passage import language

asks = {
    "summary_one": ["Summarise the text in one sentence.", "Which sentence sums the text up best?", "Give the main statement of the text in a single sentence.", "What is the text about? One sentence, please.", "Reduce the passage to its central sentence.",
        "TL;DR in one sentence.", "Sum up the passage in one sentence.", "Write a summary that is one sentence long.", "One sentence is enough: what does the text say?", "Condense the text to a single sentence from it.", "Pick the sentence that tells most about the text."],
    "summary_two": ["Summarise the text in two sentences.", "Give the two most important sentences of the text.", "Shorten the passage to two sentences taken from it.", "What are the two main statements?", "Extract a summary of two sentences.",
        "Two sentences, please: what does the passage say?", "Condense the text to two of its sentences.", "Write a summary of exactly two sentences.", "Pick the two sentences that tell most.", "Sum the passage up in two sentences."],
    "key_points": ["List the three most important points of the text.", "Give three key points as a bulleted list.", "Which three statements matter most? Use bullets.", "Extract three main points, one per line with a dash.", "Make a list of the three central statements.",
        "What are the three main points? One per line.", "Summarise the text as three bullets.", "Name three things to remember from the text, as a list.", "Note down the three essential statements with dashes.", "Boil the text down to three points."],
    "bullets": ["Rewrite the text as bullet points, one per sentence.", "Turn the paragraph into a list with dashes.", "Convert the text to a bulleted list without leaving anything out.", "Format every sentence as a bullet.", "Present the text as a list.",
        "Make a bulleted list of the sentences below.", "Set the text as a list with one dash per sentence.", "Break the passage up into bullets.", "Give me this as bullet points, wording unchanged.", "List the statements of the text one by one with dashes."],
    "numbered": ["Rewrite the text as a numbered list, one sentence per number.", "Number the sentences of the text, one per line.", "Turn the paragraph into a numbered list.", "Write each sentence on a line of its own with a number.", "Give each sentence a number, one per line.",
        "Set the passage as an enumeration 1., 2., 3.", "Break the text up into numbered lines.", "Make a numbered list of the sentences below.", "List the statements with running numbers.", "Enumerate the sentences, wording unchanged."],
    "shorter": ["Make the text shorter by leaving out asides and examples.", "Tighten the text: drop remarks in parentheses, fillers and examples.", "Shorten the passage without changing the words that stay.", "Cut everything from the text that it does not need.", "Trim the passage: no parentheses, no filler words, no examples.",
        "Remove asides from the text.", "Edit the text down; do not reword it.", "Give a tighter version of the text without remarks in brackets.", "Drop what is not essential, word for word otherwise.", "Take out fillers, examples and bracketed remarks."],
    "simpler": ["Rewrite the text in simpler words.", "Replace the long-winded expressions by plain ones.", "Make the text easier to read; use short words.", "Put the passage into plain English.", "Simplify the wording.",
        "Use everyday words for the stiff expressions in the text.", "Say the same with simpler words.", "Make the wording plainer and keep the facts.", "Replace formal words by common ones.", "Reword the text so that a beginner can read it."],
    "title": ["Give the text a title.", "Which heading suits the text?", "Write a short title for the passage.", "Name the topic of the text in a few words.", "Find a headline for the text.",
        "What would be a good title?", "Suggest a heading.", "Put a title above this text.", "Under which heading could the passage stand?", "Title, please."],
    "formal": ["Rewrite the text in a formal tone without contractions.", "Make the text formal: no short forms, no exclamation marks.", "Expand all contractions for a formal document.", "Write the passage the way a contract or report would: no contractions.", "Write all short forms in full.",
        "Rewrite without contractions, in the style of a manual.", "Turn don't, it's and the like into full forms.", "Formalise the passage: full forms only.", "Adapt the text to formal English by writing out its contractions.", "Remove contractions and exclamation marks."],
}
fillers = re.compile(r"\s+\((?:[^()]|\([^()]*\))*\)|(?<=\. )(?:However|Therefore|Thus|Also|Moreover|Furthermore|In addition|In general|Of course|Basically|Usually|Generally|In fact|In particular|Typically), |"
                     r"^(?:However|Therefore|Thus|Also|Moreover|Furthermore|In addition|In general|Of course|In fact|In particular|Typically|Generally|Usually), |"
                     r", (?:however|therefore|for example|for instance|of course|in fact|in general|usually|typically),|, (?:such as|for example|for instance|e\.g\.,?) [^.;:]*(?=\.)|\b(?:very|simply|actually|really|basically|quite|just) ")
# Long-winded expressions and plain ones; both sides keep the grammar of the sentence.
plain = {
    "in order to": "to", "utilise": "use", "utilize": "use", "utilizes": "uses", "utilized": "used", "prior to": "before", "subsequent to": "after", "additional": "extra", "additionally, ": "also, ",
    "however, ": "but ", "therefore, ": "so ", "consequently, ": "so ", "in addition, ": "also, ", "furthermore": "also", "moreover": "also", "obtain": "get", "obtains": "gets", "obtained": "got",
    "commence": "start", "terminate": "end", "terminates": "ends", "terminated": "ended", "numerous": "many", "approximately": "about", "assist": "help", "attempt to": "try to", "attempts to": "tries to",
    "demonstrate": "show", "demonstrates": "shows", "indicate": "show", "indicates": "shows", "modify": "change", "modifies": "changes", "modified": "changed", "modifying": "changing", "perform": "do",
    "performs": "does", "performed": "done", "permit": "allow", "permits": "allows", "permitted": "allowed", "possess": "have", "purchase": "buy", "purchased": "bought", "require": "need", "requires": "needs",
    "required": "needed", "retain": "keep", "retains": "keeps", "retained": "kept", "via": "through", "whilst": "while", "upon": "on", "due to the fact that": "because", "in the event that": "if",
    "at this point in time": "now", "a number of": "some", "the majority of": "most", "is able to": "can", "are able to": "can", "with respect to": "about", "regarding": "about", "concerning": "about",
    "as well as": "and", "provided that": "if", "the entire": "the whole", "an entire": "a whole", "exclusively": "only", "frequently": "often", "immediately": "at once", "currently": "now",
    "simultaneously": "at the same time", "typically": "mostly", "generally": "mostly", "essentially": "mainly", "primarily": "mainly", "alternatively, ": "or ",
    "omit": "leave out", "omits": "leaves out", "omitted": "left out", "examine": "look at", "examines": "looks at", "locate": "find", "located": "found",
    "constructed": "built", "select": "choose", "selects": "chooses", "selected": "chosen", "depict": "show", "initiate": "start", "initiates": "starts", "initiated": "started", "encounter": "meet",
    "encounters": "meets", "encountered": "met", "eliminate": "remove", "eliminates": "removes", "eliminated": "removed", "ensure": "make sure", "ensures": "makes sure",
}
long_winded = re.compile(r"\b(" + "|".join(sorted(plain, key=len, reverse=True)) + r")(?:\b|(?<= ))(?![\w()_.]*[_(])", re.I)
contractions = {"can't": "cannot", "won't": "will not", "shan't": "shall not", "it's": "it is", "that's": "that is", "there's": "there is", "what's": "what is", "here's": "here is", "let's": "let us", "he's": "he is", "she's": "she is", "i'm": "I am"}
short_form = re.compile(r"\b(?:can't|won't|shan't|it's|that's|there's|what's|here's|let's|he's|she's|i'm|\w+n't|\w+'(?:re|ve|ll))\b", re.I)


def like(before, after):
    return after[:1].upper() + after[1:] if before[:1].isupper() else after


def expand(match):
    word = match[0]
    if word.lower() in contractions:
        return like(word, contractions[word.lower()])
    for end, full in (("n't", " not"), ("'re", " are"), ("'ve", " have"), ("'ll", " will")):
        if word.lower().endswith(end):
            return word[:-len(end)] + full
    return word


def central(lines, count):
    """The sentences with the most words that occur again elsewhere; the first has an advantage, since texts open with their subject."""
    seen = {}
    for line in lines:
        for stem in language.stems(line):
            seen[stem] = seen.get(stem, 0) + 1
    def score(index):
        stems = language.stems(lines[index])
        return sum(seen[s] - 1 for s in stems) / (len(stems) + 8) + (1.0 if index == 0 else 0)
    return [lines[i] for i in sorted(sorted(range(len(lines)), key=lambda i: (-score(i), i))[:count])]


def make(d, kind, passage):
    """(input, output) or None if the passage gives nothing for this kind."""
    lines = passage.lines
    text = " ".join(lines)
    if kind in ("summary_one", "summary_two", "key_points"):
        count = {"summary_one": 1, "summary_two": 2, "key_points": 3}[kind]
        if not 2 * count + 1 <= len(lines) <= 12:
            return None
        best = central(lines, count)
        out = "\n".join(f"- {s}" for s in best) if kind == "key_points" else " ".join(best)
        return (text, out) if len(out) < 0.62 * len(text) else None
    if kind in ("bullets", "numbered"):
        if not 3 <= len(lines) <= 8:
            return None
        lines = lines[:6]
        return " ".join(lines), "\n".join((f"{i}. " if kind == "numbered" else "- ") + s for i, s in enumerate(lines, 1))
    if kind == "title":
        title = re.sub(r"[#*`]", "", passage.title).strip(" .:")
        words = language.stems(title)
        if not 1 <= len(title.split()) <= 8 or not words or len(words & language.stems(text)) < 0.6 * len(words) or not re.match(r"[A-Z]", title) or re.search(r"[()=<>]", title):
            return None
        return text, title
    lines = lines[:6]
    if len(lines) < 2:
        return None
    if kind == "formal":
        some = [s for s in passage.lines if short_form.search(s.replace("’", "'"))]
        if not some:
            return None
        text = " ".join(s for s in passage.lines if s in some or d.chance(0.5)).replace("’", "'")
        return text, short_form.sub(expand, text).replace("!", ".")
    text = " ".join(lines)
    if kind == "shorter":
        out = re.sub(r"(?<=[.!?] )[a-z]|^[a-z]", lambda m: m[0].upper(), re.sub(r"\s+", " ", fillers.sub("", text)).strip())
        out = re.sub(r"\s+([.,;])", r"\1", out)
        return (text, out) if len(out.split()) <= len(text.split()) - 4 and len(out.split()) > 8 else None
    if kind == "simpler":
        if len(long_winded.findall(text)) < 2:
            return None
        return text, long_winded.sub(lambda m: like(m[0], plain[m[0].lower()]), text)
    raise KeyError(kind)
