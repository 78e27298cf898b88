"""Everyday words for the terms of the handbook's subjects, for rewording questions; both directions."""
groups = """shareholders|owners|investors|stockholders; shareholder|owner|stockholder; share|stock; inventory|stock|goods in store; depreciation|write-off|wear and tear;
depreciated|written off; receivables|unpaid bills|customer debts; payables|bills to pay|what we owe; liabilities|debts|obligations; liability|debt|obligation; invoice|bill; invoices|bills;
instalment|payment|rate; instalments|payments; loan|credit|mortgage|borrowing; lender|bank|creditor; lenders|banks|creditors; borrower|debtor; revenue|sales|turnover|income; profit|earnings|gain|surplus;
loss|deficit; dividend|payout; dividends|payouts; yearly|annual|each year; monthly|each month|a month; price|cost|charge; expensive|dear|costly; cheap|inexpensive|low-priced; company|firm|business|enterprise;
companies|firms|businesses; customer|client|buyer; customers|clients|buyers; supplier|vendor|seller; suppliers|vendors; employees|staff|people|workers; machine|equipment|device; investment|project|outlay;
interest|finance charge; return|yield|gain; rate|percentage; tax|duty; taxes|duties; cash|money|funds; budget|plan; forecast|prediction|outlook; actual|real|true; manager|boss|head; volume|quantity|amount;
risk|danger|uncertainty; volatility|fluctuation|swings; growth|increase|expansion; value|worth; buy|purchase|acquire; buys|purchases; sell|dispose of; sells|disposes of; lease|rent|rental; merger|takeover;
rows|records|lines|entries; row|record|line|entry; column|field|attribute; columns|fields|attributes; table|relation; tables|relations; query|statement|select; queries|statements; delete|remove|erase|drop;
deleted|removed|erased; insert|add|put in; inserted|added; update|change|modify; updated|changed|modified; missing|empty|absent|unknown; duplicate|repeated|double; duplicates|repeats|copies; sort|order|arrange;
sorted|ordered|arranged; find|look up|search|locate; finds|looks up|locates; join|combine|link|connect; joins|combines|connects; group|bucket|category; sum|total|add up; count|number; average|mean;
largest|biggest|highest|greatest; smallest|lowest|least; fast|quick|speedy; faster|quicker; slow|sluggish; condition|filter|criterion; transaction|unit of work; undo|roll back|revert; undone|rolled back|reverted;
lock|block; locked|blocked; locks|blocks; key|identifier; unique|distinct|different; default|standard|preset; text|string; texts|strings; function|routine|procedure; functions|routines; method|function;
argument|parameter|input; arguments|parameters|inputs; variable|name; list|array|sequence; lists|arrays; dictionary|dict|mapping|map; dictionaries|dicts|mappings; error|exception|failure; errors|exceptions|failures;
raises|throws; raise|throw; returns|gives back|yields|hands back; return|give back|hand back; called|invoked; call|invoke; calls|invokes; loop|iteration; loops|iterations; file|document; folder|directory; folders|directories;
program|script|application; programs|scripts; package|library|module; packages|libraries; thread|worker; threads|workers; wait|pause|block; waits|pauses; stop|halt|end|cancel; start|begin|launch; starts|begins|launches;
number|figure; numbers|figures; memory|storage|space; copy|duplicate|clone; class|type; test|check|verify; tests|checks; version|release; command|instruction; option|flag|switch|setting; options|flags|settings;
write|store|save; writes|stores|saves; read|load; reads|loads; create|make|build|set up; creates|makes|builds; use|employ|apply|take; uses|employs|applies; used|employed|applied; need|require|want; needs|requires;
happens|occurs|takes place; contain|hold|include; contains|holds|includes; allow|permit|let; allows|permits|lets; forbid|prohibit|prevent; forbids|prohibits|prevents; avoid|prevent|get around; wrong|incorrect|false;
right|correct|proper; same|identical|equal; different|other|distinct; important|essential|crucial; usually|normally|commonly|mostly; advantage|benefit|plus; disadvantage|drawback|downside|weakness; reason|cause|why"""
table = {}
for group in groups.replace("\n", " ").split(";"):
    members = [m.strip() for m in group.split("|")]
    for m in members:
        if " " not in m and m != "why":
            table.setdefault(m, []).extend(x for x in members if x not in (m, "why"))
