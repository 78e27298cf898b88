"""Finance problems about loans, bonds, capital and markets; the form is that of finance_investment.py."""
import math

from .draw import number as n, percent as p
from .template import Unlucky, registry

problems, problem = registry()


@problem
def wacc(d):
    e, b, re, rd, t = d.money(100000, 900000), d.money(50000, 800000), d.rate(7, 14), d.rate(3, 7), d.rate(15, 35, 1)
    v = e + b
    w, u, k = e / v, b / v, rd * (1 - t)
    value = w * re + u * k
    return dict(given=dict(e=e, b=b, re=re, rd=rd, t=t), words=[
        (f"{d.company()} is financed by {d.cash(e)} of equity and {d.cash(b)} of debt at market values. Equity costs {p(re)}, debt {p(rd)} before tax, and the tax rate is {p(t)}.", d.pick("What is the weighted average cost of capital?", "Compute the WACC after tax.")),
        (f"Market value of shares: {d.cash(e)}; of loans: {d.cash(b)}. Shareholders expect {p(re)}, lenders {p(rd)}. Profits are taxed at {p(t)}.", f"Which discount rate should {d.person()} use for an average project?"),
        (f"Cost of equity {p(re)}, pre-tax cost of debt {p(rd)}, tax {p(t)}, equity {d.cash(e)}, debt {d.cash(b)}.", "Weigh the costs of both sources of capital.")],
        steps=[f"Total capital: {n(e)} + {n(b)} = {n(v)}", f"Weights: {n(e)} / {n(v)} = {p(w, 2)} equity and {n(b)} / {n(v)} = {p(u, 2)} debt",
               f"Debt after tax: {p(rd)} * (1 - {p(t)}) = {p(k, 3)}", f"Weighted sum: {p(w, 2)} * {p(re)} + {p(u, 2)} * {p(k, 3)} = {p(value, 2)}"], answer=f"The WACC is {p(value, 2)}")


@problem
def capm(d):
    f, m, beta = d.rate(1, 5, 0.1), d.rate(4, 7, 0.1), d.decimal(0.4, 1.9)
    v = f + beta * m
    return dict(given=dict(f=f, m=m, beta=beta), words=[
        (f"The risk-free rate is {p(f)}, the market risk premium {p(m)}, and the share of {d.company()} has a beta of {n(beta)}.", d.pick("What cost of equity does the CAPM give?", "Compute the expected return of the share.")),
        (f"Beta {n(beta)}; premium of the market over safe bonds {p(m)}; safe bonds {p(f)}.", "Apply the capital asset pricing model."),
        (f"{d.person()} uses the CAPM for {d.company()}: safe rate {p(f)}, premium {p(m)}, beta {n(beta)}.", "Which return do shareholders require?")],
        steps=[f"Risk premium of the share: {n(beta)} * {p(m)} = {p(beta * m, 3)}", f"Add the risk-free rate: {p(f)} + {p(beta * m, 3)} = {p(v, 2)}"], answer=f"The required return is {p(v, 2)}")


@problem
def dividend_growth(d):
    x, g, r = d.decimal(0.5, 9), d.rate(1, 4), d.rate(6, 11)
    y = x * (1 + g)
    return dict(given=dict(x=x, g=g, r=r), words=[
        (f"{d.company()} has just paid a dividend of {d.cash(x)} per share, which grows by {p(g)} a year. Investors require {p(r)}.", d.pick("What is the share worth by the dividend growth model?", "Value the share.")),
        (f"Last dividend {d.cash(x)}, constant growth {p(g)}, required return {p(r)}.", "Find the fair price of the share."),
        (f"A utility raises its dividend, most recently {d.cash(x)}, by {p(g)} every year. {d.person()} wants to earn {p(r)}.", "How much may one share cost at most?")],
        steps=[f"Next dividend: {n(x, 2)} * (1 + {p(g)}) = {n(y, 4)}", f"Required return less growth: {p(r)} - {p(g)} = {p(r - g)}", f"Divide: {n(y, 4)} / {p(r - g)} = {n(y / (r - g), 2)}"],
        answer=f"The share is worth {d.cash(y / (r - g), 2)}")


@problem
def relevered_beta(d):
    b, x, y, t = d.decimal(0.7, 1.8), d.decimal(0.2, 0.9, 1), d.decimal(0.1, 1.2, 1), d.rate(20, 30, 1)
    if x == y:
        raise Unlucky
    u = b / (1 + (1 - t) * x)
    v = u * (1 + (1 - t) * y)
    return dict(given=dict(b=b, x=x, y=y, t=t), words=[
        (f"A listed peer has an equity beta of {n(b)} and a debt-to-equity ratio of {n(x)}. {d.company()} has a ratio of {n(y)}. Tax is {p(t)} for both.", "Unlever the peer's beta and relever it."),
        (f"Peer: beta {n(b)}, debt/equity {n(x)}. Target: debt/equity {n(y)}. Tax rate {p(t)}.", d.pick("What is the relevered beta of the target?", "Which equity beta fits the target's own leverage?")),
        (f"{d.person()} values an unlisted firm with debt/equity of {n(y)} from a peer with debt/equity of {n(x)} and beta {n(b)}; profits are taxed at {p(t)}.", "Adjust the beta for the different leverage.")],
        steps=[f"Asset beta: {n(b)} / (1 + (1 - {p(t)}) * {n(x)}) = {n(u, 4)}", f"Relever: {n(u, 4)} * (1 + (1 - {p(t)}) * {n(y)}) = {n(v, 2)}"], answer=f"The relevered beta is {n(v, 2)}")


@problem
def loan_payment(d):
    x, r, t = d.money(3000, 300000), d.rate(2.4, 10.8, 0.6), d.whole(12, 120, 12)
    i = r / 12
    f = (1 + i) ** t
    v = x * i * f / (f - 1)
    return dict(given=dict(x=x, r=r, t=t), words=[
        (f"{d.person()} borrows {d.cash(x)} at {p(r)} a year, repaid in {t} equal monthly instalments.", d.pick("How high is the instalment?", "Compute the monthly payment.")),
        (f"Loan of {d.cash(x)} for {t} months; nominal interest {p(r)} per year, charged monthly.", "What has to be paid each month?"),
        (f"{d.company()} finances a {d.asset()} with an annuity loan: principal {d.cash(x)}, annual rate {p(r)}, {t} monthly payments.", "Find the constant payment.")],
        steps=[f"Monthly rate: {p(r)} / 12 = {p(i)}", f"Growth over the term: (1 + {p(i)})^{t} = {n(f, 6)}", f"Payment: {n(x)} * {p(i)} * {n(f, 6)} / ({n(f, 6)} - 1) = {n(v, 2)}"],
        answer=f"The monthly instalment is {d.cash(v, 2)}")


@problem
def loan_balance(d):
    x, r, a = d.money(4000, 90000), d.rate(3, 12, 0.6), d.whole(2, 4)
    i = r / 12
    pay = d.whole(int(x / 60), int(x / 20), 10)
    left, steps = x, [f"Monthly rate: {p(r)} / 12 = {p(i)}"]
    show = lambda v: n(v) if v == x else n(v, 2)
    for month in range(1, a + 1):
        interest = left * i
        after = left + interest - pay
        steps.append(f"Month {month}: interest {show(left)} * {p(i)} = {n(interest, 2)}; balance {show(left)} + {n(interest, 2)} - {n(pay)} = {n(after, 2)}")
        left = after
    return dict(given=dict(x=x, r=r, a=a, pay=pay), words=[
        (f"A loan of {d.cash(x)} bears {p(r)} a year, charged monthly. {d.person()} pays {d.cash(pay)} at the end of every month.", f"What is the balance after {a} months?"),
        (f"Debt {d.cash(x)}, instalment {d.cash(pay)} a month, annual interest {p(r)}.", f"Set up the first {a} lines of the repayment schedule and give the remaining debt."),
        (f"{d.company()} repays {d.cash(pay)} monthly on a credit of {d.cash(x)} at {p(r)} per year.", f"How much is still owed after payment number {a}?")],
        steps=steps, answer=f"The remaining debt is {d.cash(left, 2)}")


@problem
def simple_interest(d):
    x, r, days, base = d.money(2000, 500000), d.rate(1, 9, 0.25), d.whole(10, 340), d.pick(360, 365)
    v = x * r * days / base
    return dict(given=dict(x=x, r=r, days=days, base=base), words=[
        (f"{d.cash(x)} is lent for {days} days at {p(r)} a year; a year counts {base} days.", d.pick("How much simple interest is due?", "Compute the interest.")),
        (f"An overdraft of {d.cash(x)} lasted {days} days. The bank charges {p(r)} yearly on a {base}-day basis.", f"What does {d.company()} pay for it?"),
        (f"Principal {d.cash(x)}, rate {p(r)}, {days} days out of {base}.", "Find the simple interest.")],
        steps=[f"Interest of a full year: {n(x)} * {p(r)} = {n(x * r, 2)}", f"Share of the year: {n(x * r, 2)} * {days} / {base} = {n(v, 2)}"], answer=f"The interest is {d.cash(v, 2)}")


@problem
def bond_price(d):
    face, c, y, t = d.pick(100, 1000, 5000), d.rate(1, 8), d.rate(1, 9), d.whole(2, 5)
    if c == y:
        raise Unlucky
    flows = [face * c + (face if k == t else 0) for k in range(1, t + 1)]
    pv = [f / (1 + y) ** k for k, f in enumerate(flows, 1)]
    return dict(given=dict(face=face, c=c, y=y, t=t), words=[
        (f"A bond of {d.company()} has a face value of {d.cash(face)}, pays a coupon of {p(c)} once a year and matures in {t} years. The market yield is {p(y)}.", d.pick("What is its price?", "Compute the fair price of the bond.")),
        (f"Face value {d.cash(face)}, annual coupon {p(c)}, {t} years left, required yield {p(y)}.", "Does the bond trade above or below its face value, and at which price?"),
        (f"{d.person()} wants a yield of {p(y)} from a {t}-year bond with coupon {p(c)} on {d.cash(face)}.", "How much may the bond cost?")],
        steps=[f"Coupon: {n(face)} * {p(c)} = {n(face * c)}"] + ([f"Last payment: {n(face)} + {n(face * c)} = {n(flows[-1])}"]) +
        ["Discount: " + "; ".join(f"{n(f)} / (1 + {p(y)})^{k} = {n(v, 2)}" for k, (f, v) in enumerate(zip(flows, pv), 1)), f"Sum: {' + '.join(n(v, 2) for v in pv)} = {n(sum(pv), 2)}"],
        answer=f"The bond trades {'above' if sum(pv) > face else 'below'} its face value at {d.cash(sum(pv), 2)}")


@problem
def zero_coupon(d):
    x, r, t = d.pick(100, 1000, 10000, 50000), d.rate(0.5, 8, 0.1), d.whole(2, 20)
    v = x / (1 + r) ** t
    return dict(given=dict(x=x, r=r, t=t), words=[
        (f"A zero-coupon bond repays {d.cash(x)} in {t} years. The yield is {p(r)} a year.", d.pick("What does it cost today?", "Price the bond.")),
        (f"{d.company()} issues a discount bond: no coupons, {d.cash(x)} after {t} years, yield {p(r)}.", "At which price is it sold?"),
        (f"{d.person()} buys a zero bond with face value {d.cash(x)} and {t} years to run at a yield of {p(r)}.", "How much is paid?")],
        steps=[f"Discount the face value: {n(x)} / (1 + {p(r)})^{t} = {n(v, 2)}"], answer=f"The price is {d.cash(v, 2)}")


@problem
def current_yield(d):
    face, c, price = d.pick(100, 1000), d.rate(1, 9, 0.25), d.decimal(82, 118)
    price = round(price * face / 100, 2)
    return dict(given=dict(face=face, c=c, price=price), words=[
        (f"A bond with a face value of {d.cash(face)} and a coupon of {p(c)} trades at {d.cash(price)}.", "What is the current yield?"),
        (f"Price {d.cash(price)}, coupon {p(c)} of {d.cash(face)}.", d.pick("Compute the running yield of the bond.", f"Which coupon income does {d.person()} earn on the price paid?")),
        (f"{d.company()}'s notes pay {p(c)} on {d.cash(face)} each year and cost {d.cash(price)} at present.", "Relate the yearly coupon to the price.")],
        steps=[f"Coupon: {n(face)} * {p(c)} = {n(face * c, 2)}", f"Divide by the price: {n(face * c, 2)} / {n(price, 2)} = {p(face * c / price, 2)}"], answer=f"The current yield is {p(face * c / price, 2)}")


@problem
def duration(d):
    face, c, y, t = d.pick(100, 1000), d.rate(2, 8), d.rate(2, 8), 3
    flows = [face * c, face * c, face * (1 + c)]
    pv = [f / (1 + y) ** k for k, f in enumerate(flows, 1)]
    price, weighted = sum(pv), sum(k * v for k, v in enumerate(pv, 1))
    return dict(given=dict(face=face, c=c, y=y), words=[
        (f"A three-year bond with face value {d.cash(face)} pays {p(c)} a year; the yield is {p(y)}.", d.pick("Calculate its Macaulay duration.", "What is the duration in years?")),
        (f"Bond of {d.company()}: {d.cash(face)} nominal, annual coupon {p(c)}, three years to run, yield {p(y)}.", "After how many years, on average, does the investor get the money back?"),
        (f"Yield {p(y)}, coupon {p(c)} on {d.cash(face)}, maturity in three years.", f"{d.person()} needs the present-value-weighted mean time of the payments.")],
        steps=[f"Coupon: {n(face)} * {p(c)} = {n(face * c)}; last payment: {n(face)} + {n(face * c)} = {n(flows[2])}",
               "Present values: " + "; ".join(f"{n(f)} / (1 + {p(y)})^{k} = {n(v, 4)}" for k, (f, v) in enumerate(zip(flows, pv), 1)), f"Price: {' + '.join(n(v, 4) for v in pv)} = {n(price, 4)}",
               f"Weigh by time: 1 * {n(pv[0], 4)} + 2 * {n(pv[1], 4)} + 3 * {n(pv[2], 4)} = {n(weighted, 4)}", f"Divide: {n(weighted, 4)} / {n(price, 4)} = {n(weighted / price, 3)}"],
        answer=f"The duration is {n(weighted / price, 3)} years")


@problem
def expected_loss(d):
    x, pd, lgd = d.money(20000, 2000000), d.rate(0.5, 9, 0.1), d.rate(20, 70, 5)
    v = x * pd * lgd
    return dict(given=dict(x=x, pd=pd, lgd=lgd), words=[
        (f"A bank has lent {d.cash(x)} to {d.company()}. The probability of default is {p(pd)}, the loss given default {p(lgd)}.", d.pick("What is the expected credit loss?", "How large an allowance covers the expected loss?")),
        (f"Exposure {d.cash(x)}, default probability {p(pd)}, loss given default {p(lgd)}.", "Compute the expected loss."),
        (f"Of the credit of {d.cash(x)}, {p(lgd)} would be lost if the borrower failed, which happens with a probability of {p(pd)}.", f"Which loss should {d.person()} expect on average?")],
        steps=[f"Loss in a default: {n(x)} * {p(lgd)} = {n(x * lgd, 2)}", f"Weigh it by the probability: {n(x * lgd, 2)} * {p(pd)} = {n(v, 2)}"], answer=f"The expected loss is {d.cash(v, 2)}")


@problem
def trade_credit(d):
    q, a, b = d.rate(1, 3, 0.5), d.pick(7, 8, 10, 14, 15), d.pick(30, 40, 45, 60, 90)
    v = q / (1 - q) * 365 / (b - a)
    return dict(given=dict(q=q, a=a, b=b), words=[
        (f"A supplier of {d.company()} grants {p(q)} discount for payment within {a} days; otherwise the invoice is due after {b} days. A year has 365 days.", d.pick("What does it cost per year to forgo the discount?", "Compute the annualised cost of not taking the discount (simple interest).")),
        (f"Terms: {p(q)} within {a} days, net {b}.", "Which yearly interest rate does the trade credit carry, on 365 days?"),
        (f"{d.person()} may deduct {p(q)} from a bill if it is settled in {a} instead of {b} days.", "Express the advantage as a simple annual rate with 365 days.")],
        steps=[f"Days of credit: {b} - {a} = {b - a}", f"Cost of one period: {p(q)} / (1 - {p(q)}) = {p(q / (1 - q), 4)}", f"Per year: {p(q / (1 - q), 4)} * 365 / {b - a} = {p(v, 1)}"], answer=f"The trade credit costs {p(v, 1)} a year")


@problem
def factoring(d):
    x, fee, r, days, adv = d.money(20000, 500000), d.rate(0.5, 3, 0.25), d.rate(4, 12), d.pick(30, 45, 60, 90), d.rate(70, 90, 5)
    loan = x * adv
    interest = loan * r * days / 360
    total = x * fee + interest
    return dict(given=dict(x=x, fee=fee, r=r, days=days, adv=adv), words=[
        (f"{d.company()} sells receivables of {d.cash(x)} to a factor, who charges a fee of {p(fee)} and advances {p(adv)} for {days} days at {p(r)} a year (360 days).", d.pick("What does the factoring cost in total?", "Compute fee plus interest.")),
        (f"Receivables {d.cash(x)}; advance {p(adv)}; interest {p(r)} on a 360-day year for {days} days; fee {p(fee)} of the receivables.", "Find the total cost."),
        (f"A factor offers {d.person()} {p(adv)} of {d.cash(x)} at once, at {p(r)} a year over {days} days (360-day year), plus a commission of {p(fee)} on the full sum.", "How expensive is the offer?")],
        steps=[f"Fee: {n(x)} * {p(fee)} = {n(x * fee, 2)}", f"Advance: {n(x)} * {p(adv)} = {n(loan, 2)}", f"Interest: {n(loan, 2)} * {p(r)} * {days} / 360 = {n(interest, 2)}",
               f"Total: {n(x * fee, 2)} + {n(interest, 2)} = {n(total, 2)}"], answer=f"The factoring costs {d.cash(total, 2)}")


@problem
def value_at_risk(d):
    x, s, days, (level, z) = d.money(100000, 9000000), d.rate(0.5, 2.5, 0.1), d.pick(1, 4, 5, 9, 10), d.pick(("95%", 1.645), ("99%", 2.326), ("97.5%", 1.96))
    v = x * s * z * math.sqrt(days)
    return dict(given=dict(x=x, s=s, days=days, z=z), words=[
        (f"A portfolio of {d.cash(x)} has a daily volatility of {p(s)}. Returns are normal; the quantile for {level} is {n(z)}. The horizon is {days} {'day' if days == 1 else 'days'}.", d.pick("What is the value at risk?", "Compute the parametric VaR.")),
        (f"Position {d.cash(x)}; standard deviation {p(s)} a day; {level} confidence (z = {n(z)}); holding period in days: {days}.", f"Which loss is not exceeded, at that confidence?"),
        (f"{d.company()}'s treasury holds {d.cash(x)} in shares, volatility {p(s)} per day. {d.person()} reports the VaR over {days} trading {'day' if days == 1 else 'days'} with z = {n(z)} ({level}).", "Which figure goes into the report?")],
        steps=[f"One day: {n(x)} * {p(s)} * {n(z)} = {n(x * s * z, 2)}"] + ([] if days == 1 else [f"Scale by the root of time: {n(x * s * z, 2)} * sqrt({days}) = {n(v, 2)}"]), answer=f"The value at risk is {d.cash(v, 2)}")


@problem
def portfolio_return(d):
    a, b, x, y = d.money(10000, 200000), d.money(10000, 200000), d.rate(2, 7), d.rate(5, 14)
    t = a + b
    v = (a * x + b * y) / t
    return dict(given=dict(a=a, b=b, x=x, y=y), words=[
        (f"{d.person()} holds {d.cash(a)} in bonds with an expected return of {p(x)} and {d.cash(b)} in shares with {p(y)}.", d.pick("What is the expected return of the portfolio?", "Compute the portfolio's mean return.")),
        (f"Fund A: {d.cash(a)}, expected {p(x)}. Fund B: {d.cash(b)}, expected {p(y)}.", "Weigh the returns by the amounts."),
        (f"The pension fund of {d.company()} invests {d.cash(a)} at {p(x)} and {d.cash(b)} at {p(y)}.", "Which return does it earn on everything?")],
        steps=[f"Total: {n(a)} + {n(b)} = {n(t)}", f"Income: {n(a)} * {p(x)} + {n(b)} * {p(y)} = {n(a * x + b * y, 2)}", f"Divide: {n(a * x + b * y, 2)} / {n(t)} = {p(v, 2)}"], answer=f"The expected return is {p(v, 2)}")


@problem
def portfolio_risk(d):
    w, s, u, c = d.rate(20, 80, 5), d.rate(5, 30, 1), d.rate(5, 30, 1), d.decimal(-0.5, 0.8, 1)
    k = 1 - w
    var = (w * s) ** 2 + (k * u) ** 2 + 2 * w * k * s * u * c
    rho = n(c) if c >= 0 else f"({n(c)})"
    return dict(given=dict(w=w, s=s, u=u, c=c), words=[
        (f"A portfolio holds {p(w)} of asset A (volatility {p(s)}) and the rest in asset B (volatility {p(u)}). Their correlation is {n(c)}.", d.pick("What is the portfolio's volatility?", "Compute the standard deviation of the portfolio.")),
        (f"Weights: {p(w)} in A, the remainder in B. Standard deviations {p(s)} and {p(u)}, correlation {n(c)}.", "How risky is the mix?"),
        (f"{d.person()} combines shares of {d.company()} ({p(w)} of the money, volatility {p(s)}) with a fund (volatility {p(u)}); correlation {n(c)}.", "Find the joint volatility.")],
        steps=[f"Weight of B: 1 - {p(w)} = {p(k)}", f"Variance: ({p(w)} * {p(s)})^2 + ({p(k)} * {p(u)})^2 + 2 * {p(w)} * {p(k)} * {p(s)} * {p(u)} * {rho} = {n(var, 8)}", f"Root: sqrt({n(var, 8)}) = {p(math.sqrt(var), 2)}"],
        answer=f"The volatility is {p(math.sqrt(var), 2)}")


@problem
def sharpe_ratio(d):
    r, f, s = d.rate(5, 15, 0.1), d.rate(0.5, 4, 0.1), d.rate(6, 25, 0.5)
    return dict(given=dict(r=r, f=f, s=s), words=[
        (f"{d.company()}'s fund returned {p(r)} with a volatility of {p(s)}; the risk-free rate was {p(f)}.", d.pick("What is its Sharpe ratio?", "Compute the Sharpe ratio.")),
        (f"Return {p(r)}, standard deviation {p(s)}, safe rate {p(f)}.", f"How much excess return per unit of risk did {d.person()} earn?"),
        (f"Money market {p(f)}, strategy {p(r)} a year, its volatility {p(s)}.", "Rate the strategy by excess return over risk.")],
        steps=[f"Excess return: {p(r)} - {p(f)} = {p(r - f)}", f"Divide by the volatility: {p(r - f)} / {p(s)} = {n((r - f) / s, 2)}"], answer=f"The Sharpe ratio is {n((r - f) / s, 2)}")


@problem
def covered_forward(d):
    spot, a, b, days = d.decimal(0.7, 12, 4), d.rate(1, 8, 0.1), d.rate(1, 8, 0.1), d.pick(90, 180, 270, 360)
    if a == b:
        raise Unlucky
    x, y = 1 + a * days / 360, 1 + b * days / 360
    return dict(given=dict(spot=spot, a=a, b=b, days=days), words=[
        (f"One unit of foreign currency costs {n(spot, 4)} of the home currency. Interest for {days} days is {p(a)} a year at home and {p(b)} abroad, on a 360-day basis.", d.pick("What is the forward rate?", "Compute the forward rate by covered interest parity.")),
        (f"Spot rate {n(spot, 4)} (home per foreign); {days} days; money market rates {p(a)} home, {p(b)} foreign; 360-day year.", f"At which rate should {d.company()} be able to sell forward?"),
        (f"{d.person()} hedges a foreign receipt due in {days} days. Spot: {n(spot, 4)} home units. Rates a year (360 days): home {p(a)}, foreign {p(b)}.", "Find the fair forward rate.")],
        steps=[f"Home growth: 1 + {p(a)} * {days} / 360 = {n(x, 6)}", f"Foreign growth: 1 + {p(b)} * {days} / 360 = {n(y, 6)}", f"Forward: {n(spot, 4)} * {n(x, 6)} / {n(y, 6)} = {n(spot * x / y, 4)}"], answer=f"The forward rate is {n(spot * x / y, 4)}")


@problem
def currency_exchange(d):
    x, rate, fee = d.money(200, 60000), d.decimal(0.3, 15, 4), d.rate(0.5, 3, 0.25)
    v = x * (1 - fee)
    return dict(given=dict(x=x, rate=rate, fee=fee), words=[
        (f"{d.person()} changes {d.cash(x)} at {n(rate, 4)} foreign units per unit of home currency. The bank first keeps {p(fee)} as commission.", d.pick("How much foreign money is paid out?", "Compute the amount received.")),
        (f"Amount {d.cash(x)}, commission {p(fee)}, rate {n(rate, 4)}.", "What arrives in the foreign currency after the fee?"),
        (f"{d.company()} pays a supplier abroad out of {d.cash(x)}: {p(fee)} goes to the bank, the rest is converted at {n(rate, 4)}.", "Which foreign amount does the supplier get?")],
        steps=[f"After the commission: {n(x)} * (1 - {p(fee)}) = {n(v, 2)}", f"Convert: {n(v, 2)} * {n(rate, 4)} = {n(v * rate, 2)}"], answer=f"The foreign amount is {n(v * rate, 2)}")


@problem
def rights_issue(d):
    a, b, price = d.whole(3, 9), d.whole(1, 2), d.decimal(8, 90)
    offer = round(price * d.pick(0.6, 0.7, 0.75, 0.8, 0.85), 2)
    v = (a * price + b * offer) / (a + b)
    return dict(given=dict(a=a, b=b, price=price, offer=offer), words=[
        (f"{d.company()} offers {b} new {'share' if b == 1 else 'shares'} for every {a} held, at {d.cash(offer)}. The old share costs {d.cash(price)}.", d.pick("What is the theoretical ex-rights price?", "Compute the price after the issue.")),
        (f"Rights issue {b} for {a}, subscription price {d.cash(offer)}, market price {d.cash(price)}.", "To which price should the share fall?"),
        (f"{d.person()} owns {a} shares worth {d.cash(price)} each and may buy {b} more at {d.cash(offer)}.", "What is one share worth on average afterwards?")],
        steps=[f"Total value: {a} * {n(price, 2)} + {b} * {n(offer, 2)} = {n(a * price + b * offer, 2)}", f"Number of shares: {a} + {b} = {a + b}", f"Divide: {n(a * price + b * offer, 2)} / {a + b} = {n(v, 2)}"], answer=f"The ex-rights price is {d.cash(v, 2)}")


@problem
def holding_return(d):
    buy, sell, div = d.decimal(10, 150), d.decimal(10, 170), d.decimal(0.2, 6)
    v = (sell - buy + div) / buy
    return dict(given=dict(buy=buy, sell=sell, div=div), words=[
        (f"{d.person()} bought a share at {d.cash(buy)}, received a dividend of {d.cash(div)} and sold it at {d.cash(sell)}.", d.pick("What is the holding period return?", "Compute the total return in percent.")),
        (f"Purchase {d.cash(buy)}, sale {d.cash(sell)}, dividend in between {d.cash(div)}.", "Find the return on the money invested."),
        (f"The share of {d.company()} moved from {d.cash(buy)} to {d.cash(sell)} and paid {d.cash(div)}.", "How many percent did an owner gain or lose?")],
        steps=[f"Gain: {n(sell, 2)} - {n(buy, 2)} + {n(div, 2)} = {n(sell - buy + div, 2)}", f"Divide by the purchase price: {n(sell - buy + div, 2)} / {n(buy, 2)} = {p(v, 2)}"], answer=f"The return is {p(v, 2)}")
