"""Finance problems about cost, stock, tax and the annual accounts; the form is that of finance_investment.py."""
import math

from .draw import number as n, percent as p
from .template import Unlucky, registry

problems, problem = registry()


@problem
def straight_line(d):
    t, what = d.whole(3, 12), d.asset()
    y = d.money(500, 30000)
    rest = d.whole(0, y * 2, 100)
    x, k = y * t + rest, d.whole(1, t - 1)
    return dict(given=dict(x=x, rest=rest, t=t, k=k), words=[
        (f"{d.company()} buys a {what} for {d.cash(x)}. After {t} years it is worth {d.cash(rest)}. Depreciation is straight-line.", f"What is the yearly charge, and what is the book value after {k} {'year' if k == 1 else 'years'}?"),
        (f"Cost {d.cash(x)}, salvage value {d.cash(rest)}, useful life {t} years.", f"Depreciate evenly and give the carrying amount at the end of year {k}."),
        (f"A {what} of {d.cash(x)} is written off in equal amounts over {t} years down to {d.cash(rest)}.", f"{d.person()} needs the book value when {k} {'year has' if k == 1 else 'years have'} passed.")],
        steps=[f"Yearly charge: ({n(x)} - {n(rest)}) / {t} = {n(y)}", f"Charged so far: {k} * {n(y)} = {n(k * y)}", f"Book value: {n(x)} - {n(k * y)} = {n(x - k * y)}"],
        answer=f"The yearly charge is {d.cash(y)} and the book value {d.cash(x - k * y)}")


@problem
def declining_balance(d):
    x, r, t, what = d.money(5000, 300000), d.rate(10, 40, 5), d.whole(2, 4), d.asset()
    left, steps = x, []
    show = lambda v: n(v) if v == x else n(v, 2)
    for year in range(1, t + 1):
        steps.append(f"Year {year}: charge {show(left)} * {p(r)} = {n(left * r, 2)}; book value {show(left)} - {n(left * r, 2)} = {n(left * (1 - r), 2)}")
        left *= 1 - r
    return dict(given=dict(x=x, r=r, t=t), words=[
        (f"A {what} that cost {d.cash(x)} loses {p(r)} of its book value every year.", d.pick(f"What is the book value after {t} years?", f"Compute the carrying amount at the end of year {t}.")),
        (f"{d.company()} uses declining-balance depreciation at {p(r)} for an asset of {d.cash(x)}.", f"Write the schedule for {t} years and give the final book value."),
        (f"Cost {d.cash(x)}, geometric depreciation {p(r)} a year, {t} years.", f"How much remains on {d.person()}'s books?")], steps=steps, answer=f"The book value is {d.cash(left, 2)}")


@problem
def units_of_production(d):
    rate, total, rest, what = d.decimal(0.2, 9, 1), d.whole(20000, 400000, 1000), d.whole(0, 9000, 500), d.asset()
    used = d.whole(total // 20, total // 4, 100)
    x = round(rate * total) + rest
    rate = (x - rest) / total
    return dict(given=dict(x=x, rest=rest, total=total, used=used), words=[
        (f"A {what} costs {d.cash(x)}, is worth {d.cash(rest)} at the end and makes {n(total)} pieces in its life. This year it made {n(used)}.", d.pick("What is this year's depreciation by output?", "Use the units-of-production method.")),
        (f"Purchase {d.cash(x)}; residual {d.cash(rest)}; capacity {n(total)} units; output of the period {n(used)} units.", "How much is written off in the period?"),
        (f"{d.company()} depreciates by use: {n(used)} of {n(total)} possible operating units were consumed on an asset of {d.cash(x)} with a residual value of {d.cash(rest)}.", "Compute the charge.")],
        steps=[f"Amount to write off: {n(x)} - {n(rest)} = {n(x - rest)}", f"Per unit: {n(x - rest)} / {n(total)} = {n(rate, 4)}", f"This period: {n(x - rest)} * {n(used)} / {n(total)} = {n(rate * used, 2)}"], answer=f"The depreciation is {d.cash(rate * used, 2)}")


@problem
def current_ratio(d):
    a, b, c, e = d.money(5000, 90000), d.money(10000, 200000), d.money(8000, 150000), d.money(15000, 300000)
    v = (a + b + c) / e
    return dict(given=dict(a=a, b=b, c=c, e=e), words=[
        (f"{d.company()} has cash of {d.cash(a)}, receivables of {d.cash(b)}, stock of {d.cash(c)} and current liabilities of {d.cash(e)}.", d.pick("What is the current ratio?", "Compute the current ratio.")),
        (f"Cash {d.cash(a)}; receivables {d.cash(b)}; inventory {d.cash(c)}; debts due within a year {d.cash(e)}.", "Divide current assets by current liabilities."),
        (f"{d.person()} reads from a balance sheet: cash {d.cash(a)}, customers owe {d.cash(b)}, goods {d.cash(c)}, short-term debt {d.cash(e)}.", "How many times do the current assets cover the short-term debt?")],
        steps=[f"Current assets: {n(a)} + {n(b)} + {n(c)} = {n(a + b + c)}", f"Divide: {n(a + b + c)} / {n(e)} = {n(v, 2)}"], answer=f"The current ratio is {n(v, 2)}")


@problem
def quick_ratio(d):
    a, c, e = d.money(60000, 500000), d.money(8000, 50000), d.money(30000, 400000)
    v = (a - c) / e
    return dict(given=dict(a=a, c=c, e=e), words=[
        (f"Current assets of {d.company()} are {d.cash(a)}, of which {d.cash(c)} is inventory. Current liabilities are {d.cash(e)}.", d.pick("What is the quick ratio?", "Compute the quick ratio.")),
        (f"Inventory {d.cash(c)}, all current assets {d.cash(a)}, short-term liabilities {d.cash(e)}.", "How liquid is the firm without its goods?"),
        (f"{d.person()} leaves stock of {d.cash(c)} out of current assets of {d.cash(a)}; {d.cash(e)} falls due soon.", "Which quick ratio results?")],
        steps=[f"Quick assets: {n(a)} - {n(c)} = {n(a - c)}", f"Divide: {n(a - c)} / {n(e)} = {n(v, 2)}"], answer=f"The quick ratio is {n(v, 2)}")


@problem
def debt_to_equity(d):
    a, b, e = d.money(20000, 600000), d.money(20000, 400000), d.money(80000, 900000)
    v = (a + b) / e
    return dict(given=dict(a=a, b=b, e=e), words=[
        (f"{d.company()} owes {d.cash(a)} to banks and {d.cash(b)} to bondholders; its equity is {d.cash(e)}.", d.pick("What is the debt-to-equity ratio?", "Compute the leverage, debt over equity.")),
        (f"Equity {d.cash(e)}, loans {d.cash(a)}, bonds {d.cash(b)}.", "How high is debt relative to equity?"),
        (f"{d.person()} compares borrowed and own funds: loans of {d.cash(a)}, bonds of {d.cash(b)}, own funds of {d.cash(e)}.", "Which ratio results?")],
        steps=[f"Debt: {n(a)} + {n(b)} = {n(a + b)}", f"Divide: {n(a + b)} / {n(e)} = {n(v, 2)}"], answer=f"The debt-to-equity ratio is {n(v, 2)}")


@problem
def gross_margin(d):
    s = d.money(40000, 900000)
    c = d.whole(int(s * 0.3), int(s * 0.85), 1000)
    return dict(given=dict(s=s, c=c), words=[
        (f"{d.company()} sells {d.good()} for {d.cash(s)} in total; the goods cost {d.cash(c)}.", d.pick("What is the gross margin in percent?", "Compute gross profit and gross margin.")),
        (f"Revenue {d.cash(s)}, cost of goods sold {d.cash(c)}.", "Find the gross margin."),
        (f"{d.person()} earned {d.cash(s)} on {d.good()} bought for {d.cash(c)}.", "Which share of revenue is gross profit?")],
        steps=[f"Gross profit: {n(s)} - {n(c)} = {n(s - c)}", f"Divide by revenue: {n(s - c)} / {n(s)} = {p((s - c) / s, 1)}"], answer=f"The gross margin is {p((s - c) / s, 1)}")


@problem
def operating_margin(d):
    s = d.money(100000, 900000)
    a, b, c = (d.whole(int(s * x), int(s * y), 100) for x, y in ((0.2, 0.4), (0.1, 0.25), (0.02, 0.1)))
    v = s - a - b - c
    return dict(given=dict(s=s, a=a, b=b, c=c), words=[
        (f"{d.company()} had revenue of {d.cash(s)}, material cost of {d.cash(a)}, wages of {d.cash(b)} and depreciation of {d.cash(c)}.", d.pick("What is the operating margin?", "Compute the EBIT margin.")),
        (f"Sales {d.cash(s)}; material {d.cash(a)}; personnel {d.cash(b)}; depreciation {d.cash(c)}.", "Find the operating profit as a percentage of sales."),
        (f"From revenue of {d.cash(s)} the following are paid: {d.cash(a)} for material, {d.cash(b)} for staff, and {d.cash(c)} is written off.", f"How many percent of revenue does {d.company()} keep before interest and tax?")],
        steps=[f"Operating profit: {n(s)} - {n(a)} - {n(b)} - {n(c)} = {n(v)}", f"Divide by revenue: {n(v)} / {n(s)} = {p(v / s, 1)}"], answer=f"The operating margin is {p(v / s, 1)}")


@problem
def dupont(d):
    s, a = d.money(200000, 900000), d.money(150000, 900000)
    i, e = d.whole(int(s * 0.02), int(s * 0.12), 1000), d.whole(int(a * 0.3), int(a * 0.8), 1000)
    x, y, z = i / s, s / a, a / e
    return dict(given=dict(s=s, a=a, i=i, e=e), words=[
        (f"{d.company()}: net income {d.cash(i)}, revenue {d.cash(s)}, assets {d.cash(a)}, equity {d.cash(e)}.", d.pick("Break the return on equity down by DuPont.", "Compute the ROE from its three factors.")),
        (f"Revenue of {d.cash(s)} on assets of {d.cash(a)} brought a net income of {d.cash(i)}; equity is {d.cash(e)}.", "Find net margin, asset turnover and equity multiplier, and multiply them."),
        (f"{d.person()} analyses a firm with {d.cash(a)} of assets, {d.cash(e)} of equity, {d.cash(s)} of sales and {d.cash(i)} of profit after tax.", "Which return on equity follows, and from which drivers?")],
        steps=[f"Net margin: {n(i)} / {n(s)} = {p(x, 4)}", f"Asset turnover: {n(s)} / {n(a)} = {n(y, 6)}", f"Equity multiplier: {n(a)} / {n(e)} = {n(z, 6)}", f"Multiply: {p(x, 4)} * {n(y, 6)} * {n(z, 6)} = {p(x * y * z, 2)}"],
        answer=f"The return on equity is {p(x * y * z, 2)}")


@problem
def receivable_days(d):
    s = d.money(200000, 5000000)
    a = d.whole(s // 20, s // 4, 1000)
    return dict(given=dict(s=s, a=a), words=[
        (f"Customers owe {d.company()} {d.cash(a)}; yearly credit sales are {d.cash(s)}. Use 365 days.", d.pick("What are the days sales outstanding?", "How long do customers take to pay, on average?")),
        (f"Receivables {d.cash(a)}, sales {d.cash(s)}, 365 days.", "Compute the collection period."),
        (f"{d.person()} checks the collection of invoices: {d.cash(a)} open, {d.cash(s)} invoiced in a year of 365 days.", "Find the DSO.")],
        steps=[f"Divide and scale to days: {n(a)} / {n(s)} * 365 = {n(a / s * 365, 1)}"], answer=f"The collection period is {n(a / s * 365, 1)} days")


@problem
def cash_cycle(d):
    s, c = d.money(300000, 3000000), 0
    c = d.whole(int(s * 0.5), int(s * 0.8), 1000)
    i, r, q = d.whole(c // 12, c // 4, 1000), d.whole(s // 15, s // 5, 1000), d.whole(c // 20, c // 6, 1000)
    x, y, z = i / c * 365, r / s * 365, q / c * 365
    return dict(given=dict(s=s, c=c, i=i, r=r, q=q), words=[
        (f"{d.company()} has sales of {d.cash(s)}, cost of goods sold of {d.cash(c)}, inventory of {d.cash(i)}, receivables of {d.cash(r)} and payables of {d.cash(q)}. A year has 365 days.", d.pick("How long is the cash conversion cycle?", "Compute the cash cycle.")),
        (f"Inventory {d.cash(i)}, receivables {d.cash(r)}, payables {d.cash(q)}; sales {d.cash(s)}, cost of sales {d.cash(c)}; 365 days.", "Add the days of stock and collection and subtract the days of payment."),
        (f"Sales {d.cash(s)} with costs of {d.cash(c)}; on the balance sheet: stock {d.cash(i)}, customers {d.cash(r)}, suppliers {d.cash(q)}.", "For how many days (365 a year) is cash tied up?")],
        steps=[f"Days of inventory: {n(i)} / {n(c)} * 365 = {n(x, 2)}", f"Days of receivables: {n(r)} / {n(s)} * 365 = {n(y, 2)}", f"Days of payables: {n(q)} / {n(c)} * 365 = {n(z, 2)}",
               f"Cycle: {n(x, 2)} + {n(y, 2)} - {n(z, 2)} = {n(x + y - z, 1)}"], answer=f"The cash conversion cycle is {n(x + y - z, 1)} days")


@problem
def earnings_per_share(d):
    i, pref, s = d.money(100000, 9000000), d.money(5000, 90000), d.whole(20000, 900000, 1000)
    price = d.decimal(5, 120)
    v = (i - pref) / s
    return dict(given=dict(i=i, pref=pref, s=s, price=price), words=[
        (f"{d.company()} earned {d.cash(i)}, of which {d.cash(pref)} goes to preferred shares. There are {n(s)} common shares at a price of {d.cash(price)}.", "What are earnings per share and the price-earnings ratio?"),
        (f"Net income {d.cash(i)}; preferred dividends {d.cash(pref)}; {n(s)} common shares; share price {d.cash(price)}.", "Compute EPS, then P/E."),
        (f"{d.person()} pays {d.cash(price)} for a share. The company's profit of {d.cash(i)} belongs to {n(s)} common shares after {d.cash(pref)} for the preferred ones.", "How many years of earnings does the price equal?")],
        steps=[f"Income for common shares: {n(i)} - {n(pref)} = {n(i - pref)}", f"Per share: {n(i - pref)} / {n(s)} = {n(v, 4)}", f"Price by earnings: {n(price, 2)} / {n(v, 4)} = {n(price / v, 1)}"], answer=f"EPS is {d.cash(v, 4)} and the P/E ratio {n(price / v, 1)}")


@problem
def break_even(d):
    price = d.whole(8, 400)
    var, fix = d.whole(price // 5, price * 3 // 4), d.money(5000, 300000)
    units = math.ceil(fix / (price - var))
    what = d.good()
    return dict(given=dict(price=price, var=var, fix=fix), words=[
        (f"{d.company()} sells {what} at {d.cash(price)} apiece. Variable cost is {d.cash(var)} per piece, fixed cost {d.cash(fix)} a year.", d.pick("At how many pieces does it break even?", "Compute the break-even quantity.")),
        (f"Fixed cost {d.cash(fix)}; price {d.cash(price)}; variable unit cost {d.cash(var)}.", "Find the smallest number of units without a loss."),
        (f"{d.person()} opens a stall for {what}: rent and wages {d.cash(fix)}, each piece bought at {d.cash(var)} and sold at {d.cash(price)}.", "How many pieces cover all costs?")],
        steps=[f"Contribution of one piece: {n(price)} - {n(var)} = {n(price - var)}", f"Divide the fixed cost: {n(fix)} / {n(price - var)} = {n(fix / (price - var), 2)}, rounded up to {n(units)}"], answer=f"The break-even quantity is {n(units)} units")


@problem
def target_profit(d):
    price = d.whole(10, 300)
    var, fix, goal = d.whole(price // 4, price * 2 // 3), d.money(10000, 200000), d.money(5000, 150000)
    units = math.ceil((fix + goal) / (price - var))
    return dict(given=dict(price=price, var=var, fix=fix, goal=goal), words=[
        (f"{d.company()} wants a profit of {d.cash(goal)} from {d.good()} sold at {d.cash(price)} with variable cost of {d.cash(var)} each and fixed cost of {d.cash(fix)}.", d.pick("How many must be sold?", "Find the quantity.")),
        (f"Price {d.cash(price)}, unit cost {d.cash(var)}, overhead {d.cash(fix)}, target profit {d.cash(goal)}.", "Which sales volume reaches the target?"),
        (f"With {d.cash(fix)} of fixed cost, {d.person()} earns {d.cash(price)} per unit and spends {d.cash(var)} on it.", f"How many units bring a profit of {d.cash(goal)}?")],
        steps=[f"Contribution per unit: {n(price)} - {n(var)} = {n(price - var)}", f"To be covered: {n(fix)} + {n(goal)} = {n(fix + goal)}", f"Divide: {n(fix + goal)} / {n(price - var)} = {n((fix + goal) / (price - var), 2)}, rounded up to {n(units)}"], answer=f"The required volume is {n(units)} units")


@problem
def safety_margin(d):
    s, f, c = d.money(100000, 900000), d.money(20000, 60000), d.rate(30, 70, 1)
    b = f / c
    return dict(given=dict(s=s, f=f, c=c), words=[
        (f"{d.company()} plans sales of {d.cash(s)}; {p(c)} of them is contribution margin; fixed cost is {d.cash(f)}.", d.pick("What is the margin of safety in percent?", "By how many percent may sales fall before a loss?")),
        (f"Fixed cost {d.cash(f)}, contribution margin ratio {p(c)}, sales {d.cash(s)}.", "Compute break-even sales and the margin of safety."),
        (f"{d.person()} asks how safe the budget is: {d.cash(s)} of sales, {d.cash(f)} fixed, {p(c)} contribution.", "Express the cushion above break-even as a share of sales.")],
        steps=[f"Break-even sales: {n(f)} / {p(c)} = {n(b, 2)}", f"Margin: ({n(s)} - {n(b, 2)}) / {n(s)} = {p((s - b) / s, 1)}"], answer=f"The margin of safety is {p((s - b) / s, 1)}")


def good_or_bad(cost):
    return "unfavourable" if cost > 0 else "favourable"


@problem
def material_variance(d):
    sp, sq, what = d.decimal(2, 40, 1), d.whole(500, 9000, 50), d.pick("steel", "flour", "cotton", "resin", "timber", "copper", "glass", "paper")
    ap, aq = round(sp * d.pick(0.9, 0.95, 1.05, 1.1, 1.2), 2), sq + d.pick(-1, 1) * d.whole(10, 100, 5)
    a, b = (ap - sp) * aq, (aq - sq) * sp
    if abs(a) < 1 or abs(a + b) < 1:
        raise Unlucky
    return dict(given=dict(sp=sp, sq=sq, ap=ap, aq=aq), words=[
        (f"{d.company()} planned {n(sq)} kg of {what} at {d.cash(sp, 2)} and used {n(aq)} kg at {d.cash(ap, 2)}.", d.pick("Split the cost variance into price and quantity.", "Find price variance, usage variance and their sum.")),
        (f"Standard: {n(sq)} kg at {d.cash(sp, 2)}. Actual: {n(aq)} kg at {d.cash(ap, 2)}.", "Analyse the material variances."),
        (f"The budget of {d.person()} allowed {n(sq)} kg of {what} at {d.cash(sp, 2)}; the invoices show {n(aq)} kg at {d.cash(ap, 2)}.", "Explain the difference in cost by price and by use.")],
        steps=[f"Price variance: ({n(ap, 2)} - {n(sp, 2)}) * {n(aq)} = {n(a, 2)}, {good_or_bad(a)}", f"Usage variance: ({n(aq)} - {n(sq)}) * {n(sp, 2)} = {n(b, 2)}, {good_or_bad(b)}",
               f"Total: {n(a, 2)} + {n(b, 2) if b >= 0 else '(' + n(b, 2) + ')'} = {n(a + b, 2)}"], answer=f"The total variance is {d.cash(a + b, 2)}, {good_or_bad(a + b)}")


@problem
def flexible_budget(d):
    fix, unit, plan = d.money(5000, 90000), d.decimal(2, 40, 1), d.whole(1000, 9000, 100)
    done = plan + d.pick(-1, 1) * d.whole(100, 900, 50)
    allowed = fix + unit * done
    spent = round(allowed * d.decimal(0.92, 1.09, 3))
    v = spent - allowed
    return dict(given=dict(fix=fix, unit=unit, done=done, spent=spent), words=[
        (f"{d.company()} budgets {d.cash(fix)} of fixed cost and {d.cash(unit, 2)} per unit. Planned were {n(plan)} units, made were {n(done)}, and the cost was {d.cash(spent)}.", d.pick("What is the variance against the flexible budget?", "Flex the budget and compare.")),
        (f"Actual output {n(done)} units (plan: {n(plan)}), actual cost {d.cash(spent)}; cost formula: {d.cash(fix)} fixed plus {d.cash(unit, 2)} a unit.", "Find the flexible budget variance."),
        (f"{d.person()}'s workshop made {n(done)} instead of {n(plan)} pieces and spent {d.cash(spent)}. It may spend {d.cash(fix)} plus {d.cash(unit, 2)} for each piece.", "Did it keep its budget, given the output?")],
        steps=[f"Allowed cost: {n(fix)} + {n(unit, 2)} * {n(done)} = {n(allowed, 2)}", f"Variance: {n(spent)} - {n(allowed, 2)} = {n(v, 2)}"], answer=f"The variance is {d.cash(v, 2)}, {good_or_bad(v)}")


@problem
def interest_cover(d):
    a, b, c = d.money(100000, 900000), d.money(20000, 60000), d.money(8000, 90000)
    v = (a - b) / c
    return dict(given=dict(a=a, b=b, c=c), words=[
        (f"{d.company()} has an EBITDA of {d.cash(a)}, depreciation of {d.cash(b)} and interest expense of {d.cash(c)}.", d.pick("What is the interest coverage ratio, on EBIT?", "How often does EBIT cover the interest?")),
        (f"EBITDA {d.cash(a)}; depreciation {d.cash(b)}; interest {d.cash(c)}.", "Compute EBIT over interest."),
        (f"A lender to {d.company()} looks at earnings before depreciation of {d.cash(a)}, a depreciation charge of {d.cash(b)} and interest of {d.cash(c)}.", f"{d.person()} wants the interest cover after depreciation.")],
        steps=[f"EBIT: {n(a)} - {n(b)} = {n(a - b)}", f"Divide: {n(a - b)} / {n(c)} = {n(v, 2)}"], answer=f"The interest coverage is {n(v, 2)}")
