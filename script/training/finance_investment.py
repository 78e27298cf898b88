"""Finance problems about time and money: present values, returns, cost of capital, valuation.

A problem is a function of a Draw. It returns what is `given` (for the independent formula in verify_finance.py), `words` (pairs of facts
and question, one pair for each template), `steps` (text with equations that verify_numbers.py evaluates again) and the last line, `answer`.
"""
import math

from .draw import number as n, percent as p
from .template import registry

problems, problem = registry()


def flows_text(d, flows):
    return ", ".join(d.cash(f) for f in flows[:-1]) + f" and {d.cash(flows[-1])}"


def discounted(flows, r):
    return [f / (1 + r) ** t for t, f in enumerate(flows, 1)]


@problem
def npv(d):
    cost, r, who, what = d.money(20000, 400000), d.rate(4, 14), d.company(), d.asset()
    flows = [d.whole(int(cost * 0.2), int(cost * 0.55), 500) for _ in range(d.whole(3, 5))]
    pv = discounted(flows, r)
    value, k = sum(pv) - cost, len(flows)
    return dict(given=dict(cost=cost, flows=flows, r=r), words=[
        (f"{who} considers a {what} that costs {d.cash(cost)}. The expected cash flows at the end of years 1 to {k} are {flows_text(d, flows)}. The discount rate is {p(r)}.",
         d.pick("What is the net present value?", "Compute the NPV of the investment.")),
        (f"Outlay today: {d.cash(cost)}. Yearly receipts, from the first year on: {flows_text(d, flows)}. Required return: {p(r)}.",
         d.pick("Should the project be accepted by its net present value?", "Determine the NPV and say what it means.")),
        (f"A new {what} would bring {who} {flows_text(d, flows)} in its {k} years of use and must be paid for at once with {d.cash(cost)}; capital costs {p(r)}.",
         "How much value does the purchase add today?"),
        (f"{d.person()} has the following plan for {who}: pay {d.cash(cost)} now, receive {flows_text(d, flows)} in the years after. Money is discounted at {p(r)}.",
         d.pick("Evaluate the plan by discounting.", "Calculate the plan's net present value step by step."))],
        steps=["Discount each cash flow: " + "; ".join(f"{n(f)} / (1 + {p(r)})^{t} = {n(v, 2)}" for t, (f, v) in enumerate(zip(flows, pv), 1)),
               f"Add the present values: {' + '.join(n(v, 2) for v in pv)} = {n(sum(pv), 2)}",
               f"Subtract the outlay: {n(sum(pv), 2)} - {n(cost)} = {n(value, 2)}"],
        answer=f"{'Accept' if value > 0 else 'Reject'} the project, its NPV is {d.cash(value, 2)}")


@problem
def irr(d):
    cost, who, what = d.money(10000, 200000), d.company(), d.asset()
    flows = [d.whole(int(cost * 0.33), int(cost * 0.5), 100) for _ in range(3)]
    worth = lambda rate: sum(discounted(flows, rate)) - cost
    low = max(k for k in range(0, 60) if worth(k / 100) > 0) / 100 if worth(0) > 0 else None
    if not low:
        return None
    a, b = worth(low), worth(low + 0.01)
    found = low + 0.01 * a / (a - b)
    line = lambda rate: f"{' + '.join(f'{n(f)} / (1 + {p(rate)})^{t}' for t, f in enumerate(flows, 1))} - {n(cost)} = {n(worth(rate), 2)}"
    return dict(given=dict(cost=cost, flows=flows), words=[
        (f"{who} pays {d.cash(cost)} for a {what} and receives {flows_text(d, flows)} in the three years that follow.", d.pick("What is the internal rate of return?", "Find the IRR by trial and interpolation.")),
        (f"Investment: {d.cash(cost)}. Returns at the end of years 1, 2 and 3: {flows_text(d, flows)}.", "At which discount rate is the net present value zero?"),
        (f"{d.person()} lends {d.cash(cost)} to {who} and gets back {flows_text(d, flows)}, one payment a year.", "Which yearly return does this correspond to?")],
        steps=[f"Try {p(low)}: {line(low)}", f"Try {p(low + 0.01)}: {line(low + 0.01)}",
               f"Interpolate between both: {p(low)} + 1% * {n(a, 2)} / ({n(a, 2)} - {'(' + n(b, 2) + ')' if b < 0 else n(b, 2)}) = {p(found, 2)}"],
        answer=f"The internal rate of return is about {p(found, 1)}")


@problem
def payback(d):
    years, y, who, what = d.whole(3, 9), d.money(4000, 60000), d.company(), d.asset()
    cost = d.whole(y * years - y + 100, y * years, 100)
    return dict(given=dict(cost=cost, yearly=y), words=[
        (f"A {what} for {who} costs {d.cash(cost)} and saves {d.cash(y)} a year.", d.pick("How long is the payback period, without discounting?", "After how many years is it paid back?")),
        (f"{who} spends {d.cash(cost)} on insulation, which lowers the heating bill by {d.cash(y)} every year.", "Compute the simple payback time in years."),
        (f"Price: {d.cash(cost)}; constant yearly cash inflow: {d.cash(y)}.", f"When has {d.person()} recovered the money?")],
        steps=[f"Divide the cost by the yearly amount: {n(cost)} / {n(y)} = {n(cost / y, 2)}"], answer=f"The payback period is {n(cost / y, 2)} years")


@problem
def discounted_payback(d):
    r, y, years, who = d.rate(4, 12), d.money(8000, 60000), d.whole(3, 6), d.company()
    pv = [y / (1 + r) ** t for t in range(1, years + 1)]
    cost = d.whole(int(sum(pv[:-1])) + 101, int(sum(pv)) - 1, 100)
    left, steps = cost, []
    for t, v in enumerate(pv, 1):
        part = f"{n(y)} / (1 + {p(r)})^{t} = {n(v, 2)}"
        if t < years:
            steps.append(f"Year {t}: {part}; still open: {n(left, 2 if t > 1 else None)} - {n(v, 2)} = {n(left - v, 2)}")
            left -= v
        else:
            steps.append(f"Year {t}: {part}, which covers the rest; the part of the year is {n(left, 2)} / {n(v, 2)} = {n(left / v, 2)}")
    total = years - 1 + left / pv[-1]
    return dict(given=dict(cost=cost, yearly=y, r=r), words=[
        (f"{who} invests {d.cash(cost)} and earns {d.cash(y)} at the end of each year. The discount rate is {p(r)}.", d.pick("How long is the discounted payback period?", "Find the payback time with discounted cash flows.")),
        (f"Outlay {d.cash(cost)}, yearly inflow {d.cash(y)}, cost of capital {p(r)}.", "When do the discounted inflows cover the outlay?"),
        (f"{d.person()} wants to know when {who} breaks even on {d.cash(cost)} if {d.cash(y)} comes in per year and future money counts {p(r)} less each year.", "Take the discount rate into account and give the answer in years.")],
        steps=steps + [f"Add the full years and the part: {years - 1} + {n(left / pv[-1], 2)} = {n(total, 2)}"], answer=f"The discounted payback period is {n(total, 2)} years")


@problem
def profitability_index(d):
    cost, r, who = d.money(30000, 500000), d.rate(5, 12), d.company()
    flows = [d.whole(int(cost * 0.25), int(cost * 0.6), 500) for _ in range(3)]
    pv = discounted(flows, r)
    return dict(given=dict(cost=cost, flows=flows, r=r), words=[
        (f"A project of {who} needs {d.cash(cost)} and returns {flows_text(d, flows)} over three years. Discount rate: {p(r)}.", "What is the profitability index?"),
        (f"{who} can invest {d.cash(cost)} now for {flows_text(d, flows)} in the next three years and discounts at {p(r)}.", d.pick("How much present value does each unit of money invested bring?", "Compute present value divided by outlay.")),
        (f"Inflows at the end of years 1 to 3: {flows_text(d, flows)}. Price: {d.cash(cost)}. Hurdle rate: {p(r)}.", f"{d.person()} ranks projects by their profitability index. Calculate it.")],
        steps=["Discount the inflows: " + "; ".join(f"{n(f)} / (1 + {p(r)})^{t} = {n(v, 2)}" for t, (f, v) in enumerate(zip(flows, pv), 1)),
               f"Sum: {' + '.join(n(v, 2) for v in pv)} = {n(sum(pv), 2)}", f"Divide by the outlay: {n(sum(pv), 2)} / {n(cost)} = {n(sum(pv) / cost, 3)}"],
        answer=f"The profitability index is {n(sum(pv) / cost, 3)}")


@problem
def annuity_present_value(d):
    y, r, t, who = d.money(500, 50000), d.rate(2, 10), d.whole(4, 25), d.person()
    f = (1 - (1 + r) ** -t) / r
    return dict(given=dict(y=y, r=r, t=t), words=[
        (f"{who} will receive {d.cash(y)} at the end of each of the next {t} years. The interest rate is {p(r)}.", d.pick("What is the present value of the payments?", "How much are the payments worth today?")),
        (f"A lease obliges {d.company()} to pay {d.cash(y)} a year, in arrears, for {t} years. Use {p(r)} for discounting.", "Compute the value of the obligation today."),
        (f"An insurer promises {d.cash(y)} yearly for {t} years, first payment in one year, and calculates with {p(r)}.", "Which single amount now is equivalent?")],
        steps=[f"Annuity factor: (1 - (1 + {p(r)})^-{t}) / {p(r)} = {n(f, 6)}", f"Multiply by the payment: {n(y)} * {n(f, 6)} = {n(y * f, 2)}"],
        answer=f"The present value is {d.cash(y * f, 2)}")


@problem
def savings_plan(d):
    y, r, t, who = d.money(300, 9000), d.rate(1, 8), d.whole(5, 30), d.person()
    f = ((1 + r) ** t - 1) / r
    return dict(given=dict(y=y, r=r, t=t), words=[
        (f"{who} saves {d.cash(y)} at the end of every year and earns {p(r)} interest a year.", f"How much has been saved after {t} years?"),
        (f"A pension plan receives {d.cash(y)} per year for {t} years, paid at year's end, and grows at {p(r)}.", d.pick("What is its final value?", "Compute the future value of the annuity.")),
        (f"Yearly deposit: {d.cash(y)}, at the end of the year. Interest: {p(r)}. Deposits: {t}.", "Find the balance right after the last deposit.")],
        steps=[f"Future value factor: ((1 + {p(r)})^{t} - 1) / {p(r)} = {n(f, 6)}", f"Multiply by the deposit: {n(y)} * {n(f, 6)} = {n(y * f, 2)}"],
        answer=f"The final amount is {d.cash(y * f, 2)}")


@problem
def compound_interest(d):
    x, r, t, who = d.money(1000, 90000), d.rate(1, 9, 0.25), d.whole(2, 20), d.person()
    f = (1 + r) ** t
    return dict(given=dict(x=x, r=r, t=t), words=[
        (f"{who} deposits {d.cash(x)} at {p(r)} a year, compounded yearly.", f"What is the balance after {t} years?"),
        (f"{d.cash(x)} grows by {p(r)} each year for {t} years.", d.pick("How large does it become?", "Compute the final value.")),
        (f"Principal {d.cash(x)}, annual interest {p(r)} added to the principal, term {t} years.", f"How much does {who} own at the end?")],
        steps=[f"Growth factor: (1 + {p(r)})^{t} = {n(f, 6)}", f"Multiply: {n(x)} * {n(f, 6)} = {n(x * f, 2)}"], answer=f"The final balance is {d.cash(x * f, 2)}")


@problem
def present_value(d):
    x, r, t = d.money(2000, 300000), d.rate(2, 12), d.whole(2, 15)
    f = (1 + r) ** t
    return dict(given=dict(x=x, r=r, t=t), words=[
        (f"{d.company()} will be paid {d.cash(x)} in {t} years. Its discount rate is {p(r)}.", d.pick("What is the payment worth today?", "Find the present value.")),
        (f"{d.person()} needs {d.cash(x)} in {t} years and can invest at {p(r)} a year.", "How much must be set aside now?"),
        (f"A single cash flow of {d.cash(x)} arrives after {t} years; interest {p(r)}.", "Discount it to the present.")],
        steps=[f"Discount factor's denominator: (1 + {p(r)})^{t} = {n(f, 6)}", f"Divide: {n(x)} / {n(f, 6)} = {n(x / f, 2)}"], answer=f"The present value is {d.cash(x / f, 2)}")


@problem
def perpetuity(d):
    x, r = d.money(500, 80000), d.rate(2, 9, 0.25)
    return dict(given=dict(x=x, r=r), words=[
        (f"A foundation wants to pay a prize of {d.cash(x)} every year for ever and earns {p(r)} on its capital.", d.pick("How much capital does it need?", "Which endowment is required?")),
        (f"A preferred share of {d.company()} pays {d.cash(x)} a year without end. Investors require {p(r)}.", "What is the share worth?"),
        (f"Ground rent of {d.cash(x)} per year, unlimited in time, discount rate {p(r)}.", "Value the perpetual payment.")],
        steps=[f"Divide the payment by the rate: {n(x)} / {p(r)} = {n(x / r, 2)}"], answer=f"The value is {d.cash(x / r, 2)}")


@problem
def terminal_value(d):
    x, g, r = d.money(40000, 3000000), d.rate(0.5, 3), d.rate(6, 12)
    y = x * (1 + g)
    return dict(given=dict(x=x, g=g, r=r), words=[
        (f"The last planned free cash flow of {d.company()} is {d.cash(x)}. Afterwards it grows by {p(g)} a year for ever. The WACC is {p(r)}.", d.pick("What is the terminal value at the end of the plan?", "Compute the continuing value with the Gordon formula.")),
        (f"Final year's cash flow {d.cash(x)}, perpetual growth {p(g)}, discount rate {p(r)}.", "Derive the terminal value."),
        (f"{d.person()} values a {d.pick('chain of shops', 'toll road', 'software firm', 'port')}: cash flow in the last year of the forecast {d.cash(x)}, long-run growth {p(g)}, cost of capital {p(r)}.", "Which value stands for all the years beyond the forecast?")],
        steps=[f"Cash flow of the next year: {n(x)} * (1 + {p(g)}) = {n(y, 2)}", f"Spread: {p(r)} - {p(g)} = {p(r - g)}", f"Divide: {n(y, 2)} / {p(r - g)} = {n(y / (r - g), 2)}"],
        answer=f"The terminal value is {d.cash(y / (r - g), 2)}")


@problem
def effective_rate(d):
    r, m, word = d.rate(2, 24, 0.6), *d.pick((12, "monthly"), (4, "quarterly"), (2, "twice a year"))
    e = (1 + r / m) ** m - 1
    return dict(given=dict(r=r, m=m), words=[
        (f"A bank charges {p(r)} nominal interest, compounded {word} ({m} times a year).", d.pick("What is the effective annual rate?", "Convert it to an effective yearly rate.")),
        (f"{d.person()} sees a savings account with {p(r)} a year, credited {word}, that is {m} times.", "How much does it really yield over one year?"),
        (f"Nominal rate {p(r)}; {m} compounding periods per year.", "Find the annual percentage yield.")],
        steps=[f"Rate of one period: {p(r)} / {m} = {p(r / m, 4)}", f"Compound {m} periods: (1 + {p(r / m, 4)})^{m} - 1 = {p(e, 2)}"], answer=f"The effective annual rate is {p(e, 2)}")


@problem
def real_rate(d):
    i, f = d.rate(3, 12, 0.25), d.rate(1, 6, 0.25)
    v = (1 + i) / (1 + f) - 1
    return dict(given=dict(i=i, f=f), words=[
        (f"A deposit yields {p(i)} a year while prices rise by {p(f)}.", d.pick("What is the exact real interest rate?", "Use the Fisher equation to find the real rate.")),
        (f"Nominal return of {d.person()}'s fund: {p(i)}. Inflation: {p(f)}.", "By how much does the purchasing power change?"),
        (f"{d.company()} earns {p(i)} on cash in a year in which inflation is {p(f)}.", "Compute the return after inflation, not just the difference.")],
        steps=[f"Divide the growth factors: (1 + {p(i)}) / (1 + {p(f)}) - 1 = {p(v, 2)}"], answer=f"The real rate is {p(v, 2)}")


@problem
def growth_rate(d):
    t, x = d.whole(3, 10), d.money(20000, 900000)
    y = d.whole(int(x * 1.1), int(x * 2.8), 1000)
    g = (y / x) ** (1 / t) - 1
    return dict(given=dict(x=x, y=y, t=t), words=[
        (f"Revenue of {d.company()} grew from {d.cash(x)} to {d.cash(y)} within {t} years.", d.pick("What is the compound annual growth rate?", "Compute the CAGR.")),
        (f"Assets under management: {d.cash(x)} at the start, {d.cash(y)} after {t} years.", "Which constant yearly growth leads from one to the other?"),
        (f"{d.person()}'s portfolio rose from {d.cash(x)} to {d.cash(y)} in {t} years, without deposits.", "Find the average yearly return, with compounding.")],
        steps=[f"Ratio of the values: {n(y)} / {n(x)} = {n(y / x, 6)}", f"Root of order {t}: {n(y / x, 6)}^(1 / {t}) - 1 = {p(g, 2)}"], answer=f"The growth rate is {p(g, 2)} a year")


@problem
def doubling_time(d):
    r = d.rate(1, 15, 0.25)
    v = math.log(2) / math.log(1 + r)
    return dict(given=dict(r=r), words=[
        (f"Capital earns {p(r)} a year, compounded yearly.", d.pick("After how many years has it doubled?", "How long does doubling take?")),
        (f"{d.person()} invests in a fund that returns {p(r)} a year.", "When will the money be twice as much?"),
        (f"{d.company()} increases its sales by {p(r)} each year.", "In how many years do they double?")],
        steps=[f"Solve (1 + r)^t = 2 for t: ln(2) / ln(1 + {p(r)}) = {n(v, 2)}"], answer=f"Doubling takes {n(v, 2)} years")


@problem
def equivalent_annual_cost(d):
    price, run, t, r, what = d.money(8000, 90000), d.money(500, 9000), d.whole(3, 10), d.rate(4, 10), d.asset()
    f = (1 - (1 + r) ** -t) / r
    return dict(given=dict(price=price, run=run, t=t, r=r), words=[
        (f"A {what} costs {d.cash(price)}, lasts {t} years and needs {d.cash(run)} of upkeep a year. The discount rate is {p(r)}.", d.pick("What is the equivalent annual cost?", "Express all costs as one yearly amount.")),
        (f"{d.company()} compares machines of different lives. One of them: price {d.cash(price)}, life {t} years, running cost {d.cash(run)} per year, interest {p(r)}.", "Compute its annual cost including capital."),
        (f"Purchase {d.cash(price)}; {t} years of use; {d.cash(run)} a year for service; cost of capital {p(r)}.", f"Which yearly cost should {d.person()} compare?")],
        steps=[f"Annuity factor: (1 - (1 + {p(r)})^-{t}) / {p(r)} = {n(f, 6)}", f"Price per year: {n(price)} / {n(f, 6)} = {n(price / f, 2)}",
               f"Add the upkeep: {n(price / f, 2)} + {n(run)} = {n(price / f + run, 2)}"], answer=f"The equivalent annual cost is {d.cash(price / f + run, 2)}")
