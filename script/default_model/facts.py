"""Invented fact sheets: companies, policies, loans, projects, ratios, SQL clauses, Python functions, with random names and figures.

An article is (title, parts); a part is (sentence or code block, questions). Nothing in them is true: they teach to read and copy.
"""
import random

syllables = "ba be bo da de do ka ke ko la le lo ma me mo na ne no ra re ro sa se so ta te to va ve vo zen lin mar tor vin bel cor dan fel gar hal jor kel lun nor pel quin ros sel tal ul ven wex".split()
first = "Anna Ben Clara David Elena Felix Grace Hugo Ines Jonas Karin Leo Maria Nadia Omar Paula Quentin Rosa Samuel Tara Uwe Vera Walter Yara Zoe Ahmed Bianca Chen Dmitri Esther Farid Greta Hassan Ivy Jamal Kofi Lucia Mateo Nora Olga Priya Ravi Sofia Tomas".split()
last = "Adler Baker Costa Duarte Engel Fischer Garcia Hansen Ivanov Jensen Keller Lopez Meyer Novak Okafor Petrov Quist Rossi Silva Tanaka Ueda Vogel Weber Young Zhang Brandt Carter Dubois Eriksen Ferrari Gomez Huber Ito Kumar Larsen Moreau".split()
cities = "Vienna Lisbon Oslo Madrid Toronto Nairobi Osaka Lima Dublin Prague Warsaw Helsinki Boston Denver Seoul Hanoi Zurich Graz Porto Leeds Lyon Turin Bergen Tampere Accra Quito Perth Cairo".split()
trades = "furniture software bicycles medical-devices solar-panels coffee machine-tools books garden-tools insurance packaging textiles water-pumps sensors toys shoes bakery-goods paint elevators batteries".split()
adjectives = "adjusted weighted net gross relative deferred rolling effective marginal residual combined nominal seasonal operating average fixed variable secured current expected".split()
nouns = "margin yield turnover coverage cost cash inventory labour asset demand return leverage growth liquidity capacity spread risk credit budget revenue".split()
measures = "ratio index rate score factor measure multiple quotient".split()
quantities = ["net sales", "total assets", "operating costs", "current liabilities", "average inventory", "annual rent", "cash flow", "equity", "interest expense", "number of orders", "payroll", "fixed costs", "receivables", "gross profit", "capital employed", "units sold", "net debt", "depreciation", "customer visits", "working hours"]
columns = "amount price city name order_id status created_at quantity region salary score rating title email weight country paid due_date sku stock".split()
tables = "orders customers invoices payments products employees stores shipments accounts tickets suppliers readings visits loans books".split()
months = "January February March April May June July August September October November December".split()


class Maker:
    def __init__(self, rng):
        self.r = rng

    def pick(self, *items):
        return self.r.choice(items)

    def name(self, parts=None):
        return "".join(self.r.choice(syllables) for _ in range(parts or self.r.choice([2, 2, 3]))).capitalize()

    def person(self):
        return f"{self.r.choice(first)} {self.r.choice(last)}"

    def number(self, low=10, high=1000000):
        n = int(low * (high / low) ** self.r.random())
        n = round(n, -max(0, len(str(n)) - self.r.choice([1, 2, 2, 3])))
        return n

    def money(self, low=100, high=5000000):
        n = self.number(low, high)
        return self.pick("${:,}", "${:,}", "€{:,}", "{:,} euros", "£{:,}", "{:,} dollars").format(n)

    def percent(self):
        return self.pick("{:.1f}%", "{:.2f}%", "{:.0f}%", "{:.1f} percent", "{:.0f} per cent").format(self.r.uniform(0.5, 40))

    def date(self):
        d, m, y = self.r.randrange(1, 29), self.r.choice(months), self.r.randrange(1995, 2027)
        return self.pick(f"{d} {m} {y}", f"{m} {d}, {y}", f"{y}-{months.index(m) + 1:02d}-{d:02d}")

    def fact(self, says, asks):
        return (self.r.choice(says), asks)


def company(m):
    n = m.name() + m.pick("", " Ltd", " GmbH", " Inc", " Group", " Works", " AG"); trade = m.r.choice(trades).replace("-", " ")
    year, staff, ceo, city, rev, rev2, prof = m.r.randrange(1890, 2024), m.number(8, 90000), m.person(), m.r.choice(cities), m.money(100000, 9e9), m.money(100000, 9e9), m.percent()
    shops, cust, own, debt, city2 = m.r.randrange(2, 400), m.number(20, 900000), m.name() + " Holding", m.money(50000, 9e8), m.r.choice(cities)
    f = m.fact
    return n, [
        f([f"{n} is a company that makes {trade}.", f"{n} is a maker of {trade} from {city}.", f"{n} sells {trade} to customers in many countries."], [f"What is {n}?", f"What does {n} make?", f"Which products does {n} sell?", f"What business is {n} in?"]),
        f([f"It was founded in {year} by {ceo}.", f"{ceo} founded {n} in {year}.", f"The company was established in {city} in {year}."], [f"When was {n} founded?", f"In which year was {n} established?", f"How old is {n}?", f"When did {n} start?"]),
        f([f"The headquarters of {n} are in {city}.", f"{n} is based in {city}.", f"Its main office stands in {city}."], [f"Where is {n} based?", f"Where are the headquarters of {n}?", f"In which city is the main office of {n}?"]),
        f([f"{n} employs {staff:,} people.", f"The firm has {staff:,} employees.", f"At the end of the year {n} had a staff of {staff:,}."], [f"How many people work for {n}?", f"How many employees does {n} have?", f"What is the headcount of {n}?", f"How big is the staff of {n}?"]),
        f([f"Revenue rose to {rev}, after {rev2} in the year before.", f"In the last financial year {n} had revenue of {rev}.", f"Sales came to {rev}, and the profit margin was {prof}."], [f"What was the revenue of {n}?", f"How much did {n} sell?", f"How high were the sales of {n}?", f"What is the turnover of {n}?"]),
        f([f"The chief executive is {ceo}.", f"{ceo} has led the company since {year + 1}.", f"{n} is managed by {ceo}."], [f"Who leads {n}?", f"Who is the chief executive of {n}?", f"Who runs {n}?", f"Who manages the company?"]),
        f([f"{n} runs {shops} shops, most of them in {city2}.", f"There are {shops} branches, the largest in {city2}."], [f"How many shops does {n} run?", f"How many branches does {n} have?", f"Where is the largest branch?"]),
        f([f"All shares belong to {own}.", f"{n} is owned by {own}."], [f"Who owns {n}?", f"To whom do the shares belong?"]),
        f([f"Its long-term debt is {debt}.", f"{n} owes its banks {debt}."], [f"How much debt does {n} have?", f"What does {n} owe to banks?", "How high is the long-term debt?"]),
        f([f"{n} serves about {cust:,} customers.", f"About {cust:,} clients buy from {n} every year."], [f"How many customers does {n} have?", f"How many clients are served?"])]


def policy(m):
    t = m.pick("Travel", "Expense", "Remote work", "Leave", "Purchasing", "Security", "Training", "Return", "Overtime", "Warranty", "Parking", "Data retention"); n = f"{t} policy" + m.pick("", f" of {m.name()}", f" {m.r.randrange(2018, 2027)}")
    a, b, c, d, e, who, who2 = m.money(20, 900), m.r.randrange(2, 91), m.r.randrange(1, 31), m.money(100, 20000), m.percent(), m.pick("the line manager", "the finance department", "the head of the department", "the human resources team", m.person()), m.pick("the chief financial officer", "the board", "the audit team", m.person())
    f = m.fact
    return n, [
        f([f"Hotel costs are reimbursed up to {a} per night.", f"The limit for a hotel room is {a} per night."], ["How much may a hotel cost?", "What is the limit for hotels per night?", "Up to what amount are hotel costs paid back?"]),
        f([f"Claims must be submitted within {b} days after the trip.", f"Receipts have to be handed in no later than {b} days after the purchase."], ["When must claims be submitted?", "How many days do I have to hand in a claim?", "What is the deadline for receipts?", "How long can I wait with my expense report?"]),
        f([f"Employees receive {c + 20} days of paid leave per year.", f"The paid holiday is {c + 20} days a year."], ["How many days of leave do employees get?", "How much holiday is there per year?", "How long is the annual paid leave?"]),
        f([f"Purchases above {d} need the approval of {who2}.", f"{who2[0].upper() + who2[1:]} must sign every order over {d}."], ["Who approves large purchases?", "Which orders need an approval?", "From what amount does a purchase need a signature?", f"Who has to sign an order over {d}?"]),
        f([f"Requests go to {who}, who answers within {c} working days.", f"To ask for an exception, write to {who} at least {c} days ahead."], ["Who handles requests?", "How do I ask for an exception?", "How long does an answer to a request take?", "Where do requests go?"]),
        f([f"Overtime is paid with a supplement of {e}.", f"Each hour of overtime earns {e} extra."], ["How is overtime paid?", "What is the supplement for overtime?", "How much extra does an hour of overtime earn?"]),
        f([f"Passwords must be at least {8 + c % 9} characters long and are changed every {b + 20} days.", f"A password needs {8 + c % 9} characters or more."], ["How long must a password be?", "What is the minimum length of a password?", "What are the rules for passwords?"]),
        f([f"Records are kept for {c} years and are then destroyed.", f"After {c} years the documents are deleted."], ["How long are records kept?", "When are documents deleted?", "What is the retention period?"]),
        f([f"If a flight is cancelled, the employee may book another one up to {d}.", f"If an item is damaged, the buyer can send it back within {b} days."], ["What happens if a flight is cancelled?", "What happens if an item is damaged?", "What can I do when something goes wrong?"]),
        f([f"Working from home is allowed on {c % 4 + 1} days a week because teams should meet in person.", f"Staff may work from home {c % 4 + 1} days per week."], ["How many days may I work from home?", "Is remote work allowed?", "How often can staff work from home?"])]


def ratio(m):
    words = [m.r.choice(adjectives), m.r.choice(nouns), m.r.choice(measures)]
    n = " ".join(words) if m.r.random() < 0.7 else " ".join([m.name().lower(), words[2]])
    abbr = "".join(w[0] for w in n.split()).upper() if len(n.split()) > 2 else ""
    a, b, c = m.r.sample(quantities, 3); x, y = m.number(100, 900000), m.number(10, 90000); v = f"{x / y:.2f}"; t = m.pick("0.5", "1", "1.5", "2", "3", "10", "0.8", "25%")
    co, pr = m.name(), m.pick("judges how safely a firm is financed", "shows how quickly money returns", "tells lenders whether payments can be met", "warns of idle stock", "compares firms of different size", "measures how well people are used")
    A = f" ({abbr})" if abbr and m.r.random() < 0.7 else ""
    q = [n] + ([abbr] * 3 if A else []); z = lambda: m.r.choice(q); f = m.fact
    how = m.pick(f"dividing {a} by {b}", f"dividing the {a} of the period by the {b}", f"subtracting {c} from {a} and dividing the result by {b}", f"multiplying {a} with {c} and dividing by {b}", f"adding {a} and {c}")
    form = m.pick(f"{n} = {a} / {b}", f"{n} = ({a} - {c}) / {b}", f"{abbr or n} = {a} / ({b} + {c})", f"{n} = {a} × {c} / {b}")
    return n.capitalize() if m.r.random() < 0.8 else n.title(), [
        f([f"The {n}{A} is a {words[2]} that relates {a} to {b}.", f"The {n}{A} is the relation between {a} and {b} in a period.", f"{n.capitalize()}{A} is the share of {a} that is covered by {b}.", f"The {n}{A} {pr}, by setting {a} against {b}."], [f"What is {z()}?", f"What is the {z()}?", f"Define {z()}.", f"What does {z()} mean?", f"Explain {z()}.", f"What is meant by the {z()}?"]),
        f([f"It is calculated by {how}.", f"The {n} is computed by {how}.", f"To calculate it, start by {how}.", f"Analysts work it out by {how}."], [f"How is {z()} calculated?", f"How do you calculate the {z()}?", f"How is the {z()} computed?", f"How can I work out {z()}?", f"How do I compute {z()}?", f"What is the calculation of {z()}?"]),
        f([f"The formula is {form}.", f"Formula: {form}.", f"Written as a formula, {form}."], [f"What is the formula of {z()}?", f"What is the formula for {z()}?", f"Give the formula for the {z()}.", f"Which formula gives {z()}?", f"How is {z()} calculated?"]),
        f([f"For example, {a} of {x:,} and {b} of {y:,} give a {n} of {v}.", f"{co} has {a} of ${x:,} and {b} of ${y:,}, so its {n} is {v}.", f"With {a} of {x:,} and {b} of {y:,}, the result is {v}."], [f"What is the {z()} if {a} is {x:,} and {b} is {y:,}?", f"What is the {z()} of {co}?", f"Give an example of {z()}.", f"What does the worked example of {z()} show?", f"What is {z()} in the example?"]),
        f([f"A value above {t} means that {a} exceeds what {b} requires.", f"A {n} below {t} is a sign of trouble.", f"Values over {t} are regarded as healthy in most industries."], [f"What does a {z()} above {t} mean?", f"What does a {z()} below {t} mean?", f"Which value of {z()} is good?", f"How is {z()} interpreted?", f"What is a healthy {z()}?"]),
        f([f"A limitation of the {n} is that it ignores {c}.", f"The {n} says nothing about {c}, which is its main weakness.", f"Its main drawback is that {c} is left out."], [f"What is the limitation of {z()}?", f"What does {z()} ignore?", f"What is the drawback of {z()}?", f"What is a weakness of the {z()}?", f"What are the disadvantages of {z()}?"]),
        f([f"The {n} {pr}.", f"Banks use the {n} because it {pr}.", f"It is used because it {pr}."], [f"What is {z()} used for?", f"Why do banks use {z()}?", f"What is the purpose of {z()}?", f"Why is {z()} useful?"]),
        f([f"Unlike the {m.r.choice(adjectives)} {words[1]} {words[2]}, it includes {c}.", f"The difference from the simple {words[1]} {words[2]} is that {c} is included."], [f"How does {z()} differ from similar figures?", f"What is the difference between {z()} and a simple {words[1]} {words[2]}?"]),
        f([f"When {b} falls and {a} stays the same, the {n} rises.", f"If {a} doubles, the {n} doubles as well, since {b} does not change."], [f"What happens to {z()} when {b} falls?", f"When does {z()} rise?", f"What happens if {a} doubles?"])]


def project(m):
    n = m.pick(f"Project {m.name()}", f"{m.name()} plant", f"{m.name()} investment", f"{m.name()} line"); c0 = m.money(1000, 9e6); k = m.r.randrange(2, 9); cf = m.money(500, 3e6); r, irr = m.percent(), m.percent(); npv = m.money(100, 2e6); pb = f"{m.r.uniform(1, 9):.1f} years"; life = m.r.randrange(3, 26); sv = m.money(100, 90000); dep = m.money(100, 400000); man = m.person()
    f = m.fact; rr = m.pick(r, r, r)
    return n, [
        f([f"{n} costs {c0} at the start.", f"The initial investment is {c0}.", f"{n} requires an outlay of {c0} today."], [f"What does {n} cost?", f"What is the initial investment of {n}?", f"How much must be invested in {n}?", "How large is the initial outlay?"]),
        f([f"It returns {cf} at the end of each of the next {k} years.", f"The cash flow is {cf} per year for {k} years."], [f"What cash flow does {n} return?", f"How much does {n} bring in each year?", "What is the yearly cash flow?", "For how many years does the cash flow last?"]),
        f([f"At a discount rate of {rr} the net present value is {npv}.", f"The NPV of {n} at {rr} is {npv}."], [f"What is the net present value of {n}?", f"What is the NPV of {n}?", f"What NPV results at a discount rate of {rr}?", f"How large is the present value gain of {n}?"]),
        f([f"The internal rate of return is {irr}.", f"{n} has an IRR of {irr}, which is above the hurdle rate."], [f"What is the internal rate of return of {n}?", f"What IRR does {n} have?", f"How high is the return of {n}?"]),
        f([f"The payback period is {pb}.", f"{n} pays back its cost after {pb}."], [f"What is the payback period of {n}?", f"When does {n} pay back its cost?", f"How long does the payback take?"]),
        f([f"The equipment lasts {life} years and has a salvage value of {sv}.", f"Its useful life is {life} years, with a residual value of {sv}."], [f"How long does the equipment last?", f"What is the salvage value?", f"What is the useful life of {n}?"]),
        f([f"Straight-line depreciation is {dep} per year.", f"Each year {dep} is written off."], ["How much depreciation is there per year?", "What is the annual depreciation?", "How much is written off each year?"]),
        f([f"{man} is responsible for the project.", f"The project manager is {man}."], [f"Who is responsible for {n}?", f"Who is the project manager of {n}?", "Who manages the project?"]),
        f([f"The project should be accepted, because its net present value is positive.", f"The board rejected {n} because the risk was too high."], [f"Why should {n} be accepted?", f"Was {n} accepted?", f"What did the board decide about {n}?", f"Why was {n} rejected?"])]


def loan(m):
    n = m.pick(f"{m.name()} {m.pick('loan', 'mortgage', 'credit line', 'bond', 'savings account', 'card')}", f"{m.pick('Home', 'Car', 'Student', 'Business')} loan {m.pick('A', 'B', 'Plus', 'Basic', 'Flex')}"); r, r2, fee, mn, mx, y, d, late = m.percent(), m.percent(), m.money(10, 900), m.money(500, 9000), m.money(20000, 2e6), m.r.randrange(1, 36), m.r.randrange(3, 61), m.money(5, 90)
    f = m.fact
    return n, [
        f([f"The interest rate of the {n} is {r} per year.", f"{n} carries an annual interest rate of {r}.", f"Interest is charged at {r} a year."], [f"What is the interest rate of {n}?", f"How much interest does {n} carry?", f"What rate is charged for {n}?", "How high is the interest?"]),
        f([f"The term is {y} years.", f"It runs for {y} years.", f"{n} must be repaid within {y} years."], [f"What is the term of {n}?", f"How long does {n} run?", f"When must {n} be repaid?"]),
        f([f"The monthly fee is {fee}.", f"An arrangement fee of {fee} is due at signing."], [f"What is the fee for {n}?", f"How much is the fee?", f"What does {n} cost in fees?"]),
        f([f"Customers can borrow between {mn} and {mx}.", f"The smallest amount is {mn} and the largest is {mx}."], [f"How much can I borrow with {n}?", f"What is the largest amount of {n}?", "What is the minimum amount?"]),
        f([f"A late payment costs {late} plus {r2} interest.", f"If a payment is late, a charge of {late} applies."], ["What happens if a payment is late?", "What does a late payment cost?", f"What is the charge for paying late?"]),
        f([f"The contract can be cancelled with {d} days' notice.", f"Early repayment is possible after {d} months."], [f"How can {n} be cancelled?", "When is early repayment possible?", "What is the notice period?"]),
        f([f"Applicants need a proof of income and must be {18 + d % 5} years old.", f"To apply, send a proof of income and two bank statements."], [f"How do I apply for {n}?", f"What do applicants need?", f"Who can get {n}?"])]


def sheet(m):
    n = m.pick(f"{m.name()} {m.r.randrange(10, 9999)}", f"{m.name()} {m.pick('Pro', 'Mini', 'Max', 'One', 'X')}"); kind = m.pick("sensor", "laptop", "pump", "printer", "router", "drill", "camera", "backup service", "database server", "scanner", "heater"); w, h, pw, pr, g, ship = f"{m.r.uniform(0.2, 60):.1f} kg", m.r.randrange(1, 73), m.r.randrange(5, 4000), m.money(20, 9000), m.r.randrange(1, 11), m.r.randrange(1, 30); port = m.r.randrange(1000, 60000); tmp = m.r.randrange(30, 90)
    f = m.fact
    return n, [
        f([f"The {n} is a {kind} for {m.pick('small offices', 'workshops', 'laboratories', 'schools', 'data centres', 'households')}.", f"{n} is a {kind} made by {m.name()}."], [f"What is {n}?", f"What is the {n}?", f"What kind of device is {n}?"]),
        f([f"It weighs {w}.", f"The weight of the {n} is {w}."], [f"How much does {n} weigh?", f"What is the weight of the {n}?", f"How heavy is {n}?"]),
        f([f"The price is {pr}.", f"The {n} costs {pr} without tax.", f"It sells for {pr}."], [f"What does {n} cost?", f"What is the price of the {n}?", f"How much is the {n}?"]),
        f([f"The battery lasts {h} hours.", f"One charge is enough for {h} hours of use."], [f"How long does the battery of {n} last?", f"What is the battery life of the {n}?"]),
        f([f"It uses {pw} watts.", f"The power consumption is {pw} W."], [f"How much power does {n} use?", f"What is the power consumption of {n}?"]),
        f([f"The warranty is {g} years.", f"The maker gives a guarantee of {g} years."], [f"How long is the warranty of {n}?", f"What guarantee does the {n} have?"]),
        f([f"The service listens on port {port}.", f"By default it uses port {port}."], [f"Which port does {n} use?", f"On which port does the {n} listen?", f"What is the default port of {n}?"]),
        f([f"Do not use the {n} above {tmp} °C, because the case softens.", f"It switches itself off at {tmp} °C to protect the electronics."], [f"At which temperature does the {n} switch off?", f"What is the highest temperature for {n}?", f"Why should the {n} not get hot?"]),
        f([f"Orders are shipped within {ship} days from {m.r.choice(cities)}.", f"Delivery takes {ship} working days."], [f"How long does delivery take?", f"When is {n} shipped?"]),
        f([f"To reset the {n}, hold the power key for {2 + g} seconds.", f"You can reset it by holding the power key for {2 + g} seconds."], [f"How do I reset the {n}?", f"How can I reset {n}?", f"What do I do to reset the {n}?"])]


def sql(m):
    t, u = m.r.sample(tables, 2); a, b, c = m.r.sample(columns, 3); k = m.number(2, 900); alias = m.pick("total", "n", "best", "share", "running", "latest")
    fn = m.pick("SUM", "AVG", "COUNT", "MIN", "MAX"); name, what, code = m.r.choice([
        ("Filtering", f"keeps only the rows of {t} whose {a} exceeds a limit", f"SELECT {b}, {a} FROM {t} WHERE {a} > {k};"),
        ("Grouping", f"collects the rows of {t} by {b} and computes one value for each group", f"SELECT {b}, {fn}({a}) AS {alias}\nFROM {t}\nGROUP BY {b};"),
        ("Index creation", f"speeds up searches of {t} by {a}", f"CREATE INDEX idx_{t}_{a} ON {t} ({a});"),
        ("Join", f"combines the rows of {t} with the matching rows of {u}", f"SELECT {t}.{b}, {u}.{a}\nFROM {t}\nJOIN {u} ON {u}.{t[:-1]}_id = {t}.id;"),
        ("Update", f"changes {a} in every row of {t} that meets the condition", f"UPDATE {t} SET {a} = {k} WHERE {b} = '{m.name()}';"),
        ("Deletion", f"removes the rows of {t} whose {a} is out of date", f"DELETE FROM {t} WHERE {a} < {k};"),
        ("Insertion", f"adds a new row to {t}", f"INSERT INTO {t} ({a}, {b}) VALUES ({k}, '{m.name()}');"),
        ("Window function", f"computes a value over the rows of {t} around the current row without grouping them", f"SELECT {b}, {fn}({a}) OVER (PARTITION BY {c} ORDER BY {b}) AS {alias}\nFROM {t};"),
        ("Subquery", f"compares each row of {t} with a result taken from {u}", f"SELECT {b} FROM {t}\nWHERE {a} > (SELECT AVG({a}) FROM {u});"),
        ("Common table expression", f"gives a name to a query on {t} so that the next query can use it", f"WITH {alias} AS (SELECT {b}, {a} FROM {t})\nSELECT {b} FROM {alias} WHERE {a} < {k};"),
        ("Sorting", f"puts the rows of {t} in the order of {a}", f"SELECT * FROM {t} ORDER BY {a} DESC LIMIT {k};"),
        ("View", f"stores a query on {t} under a name", f"CREATE VIEW {t}_{alias} AS\nSELECT {a}, {b} FROM {t};"),
        ("Transaction", f"groups several changes of {t} so that all or none of them take effect", f"BEGIN;\nUPDATE {t} SET {a} = {a} - {k};\nCOMMIT;"),
        ("Case expression", f"chooses a label for each row of {t} by its {a}", f"SELECT {b}, CASE WHEN {a} > {k} THEN 'high' ELSE 'low' END AS {alias}\nFROM {t};")])
    f, title = m.fact, m.pick(name, f"{name} on {t}", f"{name} by {a}", f"{m.name()} {name.lower()}"); low = name.lower(); block = f"```sql\n{code}\n```"
    return title, [
        f([f"{m.pick('A', 'The')} {low} {m.pick('is a statement that', 'is an operation that')} {what}.", f"{name} {what}.", f"{name} is the step that {what}."], [f"What is {low}?", f"What is a {low}?", f"What does {low} do?", f"Define {low}.", f"What is the {low} for?"]),
        (block, [f"Show an example of {low}.", f"Give the SQL for {low}.", f"Which statement {what}?", f"Write a query that {what}.", f"What does the SQL for {low} look like?", f"Show the code that {what}."]),
        f([f"Use it when {a} and {b} are needed together.", f"A {low} is the right choice when {t} is large and {a} is selective.", f"It should be used when the result must hold {c} as well."], [f"When should I use {low}?", f"When is a {low} the right choice?", f"When is {low} used?"]),
        f([f"Rows with NULL in {a} are left out.", f"A NULL in {a} counts as unknown, so such a row never matches.", f"NULL values of {a} come first unless {b} decides."], [f"What happens to rows with NULL in {a}?", f"How are NULL values treated by {low}?", f"What does a NULL in {a} do?"]),
        f([f"Without an index on {a} the database reads the whole of {t}, which is slow for {k} million rows.", f"An index on {b} makes the statement faster because only the matching rows of {t} are read."], [f"Why is {low} slow?", f"What makes the statement faster?", f"What happens without an index on {a}?", f"How can {low} be made faster?"]),
        f([f"The difference between WHERE and HAVING is that WHERE filters rows of {t} and HAVING filters groups.", f"Unlike a plain {fn}, it keeps every row of {t}.", f"In contrast to {m.name()}SQL, SQLite accepts it without {c}."], [f"What is the difference between WHERE and HAVING?", f"How does {low} differ from a plain {fn}?", f"What is special about {low}?", f"How does it differ from other databases?"]),
        f([f"The result has one row for each {b}.", f"The statement returns {k} rows in the example.", f"In the example, {m.name()} has the highest {a}, {k}."], [f"How many rows does the result have?", f"What does the example return?", f"What is the result of the {low}?", f"Who has the highest {a}?"])]


def python(m):
    fn = m.pick("load", "parse", "merge", "split", "count", "find", "make", "read", "check", "sort") + "_" + m.pick("rows", "items", "words", "config", "report", "totals", "dates", "users", "lines", m.name(2).lower()); arg = m.pick("path", "values", "text", "items", "limit", "key", "size", "data"); d = m.pick("None", "10", "100", "True", "'utf-8'", "0", "3.5", "''"); exc = m.pick("ValueError", "KeyError", "TypeError", "FileNotFoundError", "IndexError"); mod = m.name(2).lower() + m.pick("lib", "tools", "", "kit"); k = m.r.randrange(2, 99); ret = m.pick("a list of strings", "a dictionary", "the number of items", "an iterator over the lines", "True or False", "a new list", "a tuple of two numbers", "the largest value")
    xs = [m.r.randrange(1, 100) for _ in range(m.r.randrange(3, 6))]; low = m.pick("decorator", "generator", "context manager", "class", "coroutine", "comprehension", "lambda", "dataclass", "iterator", "module", "cache", "thread pool", "queue", "set", "closure", "property", "slice")
    code = m.r.choice([f"from {mod} import {fn}\nprint({fn}({xs}))", f"def {fn}({arg}={d}):\n    return [{arg[0]} for {arg[0]} in {xs} if {arg[0]} > {k}]", f"result = {fn}({xs}, {arg}={d})\nprint(result)", f"with {mod}.{fn}('{m.name().lower()}.txt') as f:\n    print(f.read({k}))", f"@{fn}\ndef {m.name().lower()}(x):\n    return x * {k}", f"class {m.name()}:\n    def __init__(self, {arg}={d}):\n        self.{arg} = {arg}", f"async def {fn}():\n    await asyncio.sleep({k})", f"{arg} = {{x: x ** 2 for x in {xs}}}\nprint({arg})"])
    does = m.pick(f"reads {arg} and returns {ret}", f"returns {ret}", f"turns {arg} into {ret}", f"checks {arg} and gives back {ret}"); f = m.fact; g = f"`{fn}()`" if m.r.random() < 0.5 else f"{fn}()"
    what = m.pick("wraps another function and adds behaviour to it", "produces values one at a time", "frees its resources at the end of a block", "holds data and the methods that work on it", "can be paused and resumed", "builds a collection in one expression", "keeps results so that they need not be computed again", "runs several tasks at the same time", "stores values under keys")
    return m.pick(fn, f"{mod}.{fn}", f"The {mod} module", f"{low.capitalize()}s in {mod}", low.capitalize()), [
        f([f"{g} {does}.", f"The function {g} {does}."], [f"What does {fn}() do?", f"What does {fn} return?", f"What is {fn} for?", f"Which function {does}?", f"What is the return value of {fn}?"]),
        f([f"A {low} is an object that {what}.", f"A {low} {what}.", f"In Python, a {low} is a construct that {what}."], [f"What is a {low}?", f"What does a {low} do?", f"Define {low}.", f"What is a {low} in Python?", f"What {what}?", f"Explain {low}."]),
        (f"```python\n{code}\n```", [f"Show an example of {fn}.", f"Give an example of a {low}.", f"Show the code for {fn}.", f"Show the use of {fn} in code.", f"Write a {low}.", f"Show a code example."]),
        f([f"The argument `{arg}` is optional and defaults to `{d}`.", f"If {arg} is left out, {d} is used.", f"The default of {arg} is {d}."], [f"What is the default of {arg}?", f"What does {arg} default to?", f"What happens if {arg} is left out?", f"Is {arg} optional?"]),
        f([f"{fn} raises {exc} if {arg} is empty.", f"A {exc} is raised when {arg} has the wrong form.", f"When {arg} is missing, Python raises a {exc}."], [f"Which exception does {fn} raise?", f"What happens if {arg} is empty?", f"When is {exc} raised?", f"When does {fn} fail?", f"What error do I get when {arg} is missing?"]),
        f([f"It runs in O({m.pick('n', 'n log n', 'log n', '1', 'n²')}) time, so {k} million items are no problem.", f"Its running time grows {m.pick('linearly', 'quadratically', 'logarithmically')} with the number of items."], [f"How fast is {fn}?", f"What is the running time of {fn}?", f"What is the complexity of {fn}?"]),
        f([f"Use {g} instead of a loop because it is shorter and faster.", f"A {low} is better than a plain loop because it needs less memory."], [f"Why should I use {fn}?", f"Why is a {low} better than a loop?", f"What is the advantage of {fn}?", f"What is the benefit of a {low}?"]),
        f([f"Since version {m.r.randrange(1, 4)}.{m.r.randrange(1, 13)} it also accepts {m.pick('bytes', 'paths', 'iterators', 'None')}.", f"{fn} is new in version {m.r.randrange(1, 4)}.{m.r.randrange(1, 13)}."], [f"Since which version is {fn} available?", f"When was {fn} added?", f"What changed in the new version?"]),
        f([f"To install it, run `pip install {mod}`.", f"The package is installed with `pip install {mod}`."], [f"How do I install {mod}?", f"How is {mod} installed?", f"Which command installs {mod}?"])]


def worked(m):
    """A worked example in several sentences that name their subject again and again, so that only the relation tells them apart."""
    firm = m.pick("A bakery", "A printer", "A carpenter", "A retailer", "A brewery", "A carrier", "A clinic", f"{m.name()} Ltd", f"{m.name()} AG", "A hotel", "A farm", "A start-up")
    low = firm[0].lower() + firm[1:] if firm.startswith("A ") else firm; the = low.replace("a ", "the ", 1) if firm.startswith("A ") else firm
    topic = " ".join([m.r.choice(adjectives), m.r.choice(nouns)]); a, b, c = m.r.sample(quantities, 3); x, y = m.number(2000, 900000), m.number(100, 90000)
    cur = m.pick("${:,}", "€{:,}", "{:,} dollars", "${:,}"); s, d = x + y, abs(x - y); pc = f"{100 * y / x:.1f}%"; k = m.r.randrange(2, 30); up = f"{x * 1.1:,.2f}"; f = m.fact
    return topic.capitalize(), [
        f([f"{topic.capitalize()} is the amount of {a} that remains after {b} has been met.", f"{topic.capitalize()} is a figure that tells how much {a} a company needs to carry its {b}.", f"The {topic} of a company is its {a} less its {b}, measured at the end of the year."], [f"What is {topic}?", f"What is the {topic}?", f"Define {topic}.", f"What does {topic} mean?", f"What does {topic} tell?"]),
        f([f"{firm} has {a} of {cur.format(x)} and {b} of {cur.format(y)}.", f"{firm} reports {a} of {cur.format(x)}, {b} of {cur.format(y)} and a period of {k} months."], [f"What {a} does {low} have?", f"How high is the {b} of {the}?", f"How much {a} does {the} report?", f"What are the figures of {the}?"]),
        f([f"The {topic} of {the} is {x:,} - {y:,}, which is {d:,}.", f"The sum of both is {cur.format(s)}, so the {topic} of {the} is {cur.format(d)}.", f"Subtracting {y:,} from {x:,} gives a {topic} of {cur.format(d)}."], [f"What is the {topic} of {the}?", f"How large is the {topic} of {the}?", f"What {topic} results for {the}?", f"What is the {topic} in the worked example?"]),
        f([f"The {b} of {the} is {pc} of the {a}.", f"In percent, the {b} amounts to {pc} of {a}."], [f"What percentage of {a} is the {b}?", f"How many percent is the {b} of {the}?", f"What share of {a} is {b}?"]),
        f([f"If the {a} grows by 10%, it reaches {up} after one year.", f"With growth of 10%, the {a} of {the} is {up} in the next year."], [f"What happens if the {a} grows by 10%?", f"How high is the {a} after one year?", f"What is the {a} of {the} in the next year?"]),
        f([f"A low {topic} is not always bad, because {c} can be raised at short notice.", f"A high {topic} can hide weak {c}, since both are booked at the same time."], [f"Why is a low {topic} not always bad?", f"What can a high {topic} hide?", f"Is a low {topic} bad?", f"How should the {topic} be interpreted?"]),
        f([f"The {topic} should be compared only within one industry, because {c} differs between industries.", f"Companies with much {c} need a higher {topic} than others."], [f"How should {topic} be compared?", f"Which companies need a higher {topic}?", f"Why should {topic} be compared within one industry?"]),
        f([f"The formula is {topic} = {a} - {b}, where {a} is taken from the balance sheet and {b} from the budget.", f"{topic.capitalize()} is calculated by taking the {b} from the {a}."], [f"How is {topic} calculated?", f"What is the formula for {topic}?", f"How do I calculate {topic}?", f"Where are the figures of the {topic} taken from?"])]


families = [worked, worked, worked, company, policy, ratio, ratio, ratio, project, loan, sheet, sql, sql, sql, python, python, python]


def article(rng, family=None):
    """(title, text, parts): two to all parts of a family, joined into paragraphs; the definition stays first."""
    title, parts = (family or rng.choice(families))(Maker(rng))
    head, tail = parts[0], rng.sample(parts[1:], rng.randrange(2, len(parts)))
    chosen = ([head] if rng.random() < 0.85 else []) + tail
    text, heads = "", ["Worked example", "Example", "Interpretation", "Notes", "Details", "Use", "Conditions", "Background", "Pitfalls", "Cost"]
    for i, (say, _) in enumerate(chosen):
        block = say.startswith("```")
        gap = "" if not text else "\n\n" if block or text.endswith("```") or rng.random() < 0.25 else " "
        if gap == "\n\n" and not block and rng.random() < 0.3:
            gap = f"\n\n## {rng.choice(heads)}\n\n"
        text += gap + say
    return title, text, chosen, [p for p in parts if p not in chosen]
