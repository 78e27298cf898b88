"""Small English knowledge for writing questions: verbs, a hand-made thesaurus, sentence splitting, content words."""
import re

verbs = set("""accept access add adjust affect aggregate allow analyse appear apply approve ask assign assume attach avoid balance
become begin belong block borrow bring build buy cache calculate call cancel carry cause change charge check choose clean clear close
collect combine come commit compare compile compress compute configure connect consider consist contain continue control convert copy
correspond cost count cover create cut deal decide declare decode decrease default define delete deliver denote depend describe detect
determine differ disable discard discount display divide do drop earn eliminate emit employ enable encode end enforce ensure enter
equal estimate evaluate exceed exclude execute exist expand expect explain exploit express extend extract fail fall fetch fill filter
find finish fit fix flag fold follow force format generate get give grant group grow guarantee handle happen hash help hide hold
identify ignore implement imply import improve include increase indicate inherit initialise initialize insert install interpret
introduce invoke involve issue iterate join keep know lead leave let limit link list load locate lock log look lose lower maintain make
manage map mark match mean measure merge modify move multiply need normalise normalize occur offer omit open operate order output
overwrite own parse pass pay perform place plot point prepare preserve prevent print process produce promise protect prove provide
publish purchase put raise read receive recommend record reduce refer reflect reject relate release remove rename repeat replace report
represent request require reset resolve respond rest restore restrict result retrieve return reveal reverse round run save scan search
see select sell send separate serve set share shift show simplify skip solve sort specify spend split stand start state stop store
subtract suggest sum supply support suppress take tell terminate test throw track transfer transform translate treat trigger try turn
update use validate value vary verify wait want warn work wrap write yield""".split())


def third(verb):
    if re.search(r"(s|x|z|ch|sh|o)$", verb):
        return verb + "es"
    return verb[:-1] + "ies" if re.search(r"[^aeiou]y$", verb) else verb + "s"


base_of = {third(v): v for v in verbs} | {"has": "have"}

# Groups of exchangeable wordings; a question swaps a member for another, so that it seldom repeats the passage's own words.
groups = """calculate|compute|work out|determine; calculated|computed|worked out|determined; create|make|build|set up; created|made|built;
creates|makes|builds; remove|delete|drop|get rid of; removes|deletes|drops; removed|deleted|dropped; return|give back|yield|produce;
returns|gives|yields|produces; rows|records; row|record; column|field; columns|fields; show|display|print; shows|displays|prints;
use|employ|apply; used|employed|applied; allow|permit|let; allows|permits|lets; important|essential|crucial; change|modify|alter|update;
changed|modified|altered; start|begin|launch; stop|end|halt; purpose|point|goal|aim; benefit|advantage|merit;
drawback|disadvantage|downside|weakness; limit|restriction|maximum; error|failure|problem; function|routine|procedure; argument|parameter;
arguments|parameters; option|setting|switch; required|needed|necessary; requires|needs|demands; require|need; company|firm|business;
employees|staff|workers; employee|worker; cost|expense|price; costs|expenses; revenue|sales|turnover; profit|earnings|gain; buy|purchase;
customer|client|buyer; customers|clients; large|big; small|little; fast|quick; quickly|fast|rapidly; several|a number of;
find|locate|look up; get|obtain|retrieve|fetch; obtained|retrieved; happens|occurs|takes place; convert|turn|transform; check|test|verify;
combine|merge|join together; contain|hold|include; contains|holds|includes; store|keep|save; stored|kept|saved; choose|select|pick;
value|amount|figure; number|count|quantity; kind|type|sort; method|way|approach; explain|describe; default|standard; file|document;
means|signifies|indicates; mean|signify|indicate; increase|raise|grow; decrease|lower|reduce; increases|raises; reduces|lowers|decreases;
annual|yearly; each year|every year|per year; permitted|allowed; prevent|avoid|stop; prevents|avoids|stops; specify|give|state;
specifies|gives|states; perform|carry out|do; performed|carried out|done; loan|credit|borrowing; interest|interest charge;
project|investment; duration|length|period; founded|established|started; located|based|situated; manager|head|lead; deadline|due date;
list|sequence; string|text; main|primary|chief; example|sample|illustration; each|every; risk|danger; difference|distinction;
execute|run; executed|run; measure|gauge; measures|gauges; compare|contrast; describes|explains; occurs|happens; query|statement;
quickest|fastest; handle|deal with|treat; handles|deals with|treats; replace|substitute|swap; entire|whole|complete; equal|identical;
ensure|make sure|guarantee; ensures|makes sure; divided|split; shared|common; debts|liabilities; bills|payables; speed|performance"""
thesaurus = {}
for group in groups.replace("\n", " ").split(";"):
    members = [m.strip() for m in group.split("|")]
    for m in members:
        thesaurus.setdefault(m, []).extend(x for x in members if x != m)

stop = set("""a an the and or but if then of to in on at by for with from as is are was were be been being it its this that these those
there their they them he she his her you your we our i not no nor so than too very can could may might must shall should will would do
does did have has had which who whom whose what when where why how all any some such only also into over under about between through
during before after above below up down out off again further once each other more most own same both few one two""".split())


def sentences(paragraph):
    parts = re.split(r"(?<=[.!?])[\"”)]?\s+(?=[A-Z`\"“(0-9])", paragraph)
    merged = []
    for part in parts:
        if merged and re.search(r"(\be\.g|\bi\.e|\betc|\bvs|\bcf|\bMr|\bDr|\bNo|\bFig|\b[A-Z])\.$", merged[-1]):
            merged[-1] += " " + part
        else:
            merged.append(part)
    return merged


def content(text):
    return [w for w in re.findall(r"[A-Za-z_][\w.()-]*\w|\d[\d.,]*", text) if w.lower() not in stop and len(w) > 2]


def stems(text):
    return {re.sub(r"(ing|ed|es|s|ly|ion)$", "", w.lower())[:7] for w in content(text)}


def paraphrase(text, rng, chance=0.4, keep=()):
    """Swaps words by the thesaurus; quoted and code-like words and those of `keep` stay."""
    def swap(match):
        word = match.group(0)
        options = thesaurus.get(word)
        return rng.choice(options) if options and word not in keep and rng.random() < chance else word
    return re.sub(r"(?<![`\w.(])[a-z]{3,}(?![\w`(.]\w)", swap, text)
