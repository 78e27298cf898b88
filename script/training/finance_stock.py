"""Finance problems about stock and value added tax; the form is that of finance_investment.py."""
import math

from .draw import number as n, percent as p
from .template import registry

problems, problem = registry()


@problem
def inventory_turnover(d):
    c = d.money(100000, 3000000)
    a, b = d.whole(c // 12, c // 4, 500), d.whole(c // 12, c // 4, 500)
    m = (a + b) / 2
    return dict(given=dict(c=c, a=a, b=b), words=[
        (f"{d.company()} had stock of {d.cash(a)} at the start and {d.cash(b)} at the end of the year; goods sold cost {d.cash(c)}.", d.pick("What is the inventory turnover?", "How often was the stock turned over?")),
        (f"Opening inventory {d.cash(a)}, closing inventory {d.cash(b)}, cost of sales {d.cash(c)}.", "Compute the turnover on average inventory."),
        (f"A warehouse of {d.good()} holds {d.cash(a)} in January and {d.cash(b)} in December; {d.cash(c)} worth left it.", "Relate the outflow to the mean stock.")],
        steps=[f"Average inventory: ({n(a)} + {n(b)}) / 2 = {n(m)}", f"Divide: {n(c)} / {n(m)} = {n(c / m, 2)}"], answer=f"The inventory turnover is {n(c / m, 2)}")


@problem
def order_quantity(d):
    demand, order, hold = d.whole(800, 60000, 100), d.whole(15, 250, 5), d.decimal(0.5, 12, 1)
    v = math.sqrt(2 * demand * order / hold)
    return dict(given=dict(demand=demand, order=order, hold=hold), words=[
        (f"{d.company()} needs {n(demand)} {d.good()} a year. An order costs {d.cash(order)}, keeping one piece for a year {d.cash(hold, 2)}.", d.pick("What is the economic order quantity?", "Compute the EOQ.")),
        (f"Yearly demand {n(demand)}, cost per order {d.cash(order)}, holding cost per unit and year {d.cash(hold, 2)}.", "Which order size minimises the total cost?"),
        (f"{d.person()} buys {n(demand)} {d.good()} per year; every delivery costs {d.cash(order)} and storage {d.cash(hold, 2)} per piece.", "How many should be ordered at a time?")],
        steps=[f"Under the root: 2 * {n(demand)} * {n(order)} / {n(hold, 2)} = {n(v * v, 2)}", f"Root: sqrt({n(v * v, 2)}) = {n(v, 1)}"], answer=f"The economic order quantity is {n(v, 1)} units")


@problem
def reorder_point(d):
    use, lead, safe = d.whole(5, 300), d.whole(3, 40), d.whole(20, 900, 10)
    return dict(given=dict(use=use, lead=lead, safe=safe), words=[
        (f"{d.company()} uses {n(use)} {d.good()} a day; delivery takes {lead} days; the safety stock is {n(safe)}.", d.pick("At which stock level must it reorder?", "Compute the reorder point.")),
        (f"Daily use {n(use)}, lead time {lead} days, safety stock {n(safe)} units.", "Find the reorder point."),
        (f"{d.person()} must always keep {n(safe)} pieces in reserve, sells {n(use)} per day and waits {lead} days for a delivery.", "When should an order be placed?")],
        steps=[f"Use during delivery: {n(use)} * {lead} = {n(use * lead)}", f"Add the safety stock: {n(use * lead)} + {n(safe)} = {n(use * lead + safe)}"], answer=f"The reorder point is {n(use * lead + safe)} units")


@problem
def weighted_average_cost(d):
    a, b, x, y = d.whole(50, 900, 10), d.whole(50, 900, 10), d.decimal(2, 60, 1), d.decimal(2, 60, 1)
    out = d.whole(20, a + b - 10, 10)
    total, m = a * x + b * y, (a * x + b * y) / (a + b)
    return dict(given=dict(a=a, b=b, x=x, y=y, out=out), words=[
        (f"{d.company()} bought {n(a)} {d.good()} at {d.cash(x, 2)} and later {n(b)} at {d.cash(y, 2)}; {n(out)} were sold.", d.pick("What is the cost of sales at weighted average cost?", "Value the sold goods at average cost.")),
        (f"Receipts: {n(a)} units at {d.cash(x, 2)}, {n(b)} units at {d.cash(y, 2)}. Issues: {n(out)} units.", "Use the weighted average method for the cost of the issues."),
        (f"{d.person()}'s shelf holds {n(a)} pieces that cost {d.cash(x, 2)} and {n(b)} that cost {d.cash(y, 2)}. {n(out)} leave.", "What did they cost, at the mean?")],
        steps=[f"Total cost: {n(a)} * {n(x, 2)} + {n(b)} * {n(y, 2)} = {n(total, 2)}", f"Average: {n(total, 2)} / ({n(a)} + {n(b)}) = {n(m, 4)}", f"Sold: {n(total, 2)} * {n(out)} / ({n(a)} + {n(b)}) = {n(m * out, 2)}"], answer=f"The cost of sales is {d.cash(m * out, 2)}")


@problem
def first_in_first_out(d):
    a, b, x, y = d.whole(50, 500, 10), d.whole(50, 900, 10), d.decimal(2, 60, 1), d.decimal(2, 60, 1)
    out = a + d.whole(10, b - 10, 10)
    total = a * x + (out - a) * y
    return dict(given=dict(a=a, b=b, x=x, y=y, out=out), words=[
        (f"{d.company()} bought {n(a)} {d.good()} at {d.cash(x, 2)}, then {n(b)} at {d.cash(y, 2)}, and sold {n(out)}.", d.pick("What is the cost of goods sold under FIFO?", "Use first in, first out.")),
        (f"First delivery {n(a)} units at {d.cash(x, 2)}; second delivery {n(b)} units at {d.cash(y, 2)}; sold {n(out)} units.", "Value the sales by FIFO."),
        (f"Of {n(a)} older pieces ({d.cash(x, 2)} each) and {n(b)} newer ones ({d.cash(y, 2)} each), {d.person()} sells {n(out)}, oldest first.", "What did the sold pieces cost?")],
        steps=[f"From the second delivery: {n(out)} - {n(a)} = {n(out - a)}", f"Cost: {n(a)} * {n(x, 2)} + {n(out - a)} * {n(y, 2)} = {n(total, 2)}"], answer=f"The cost of goods sold is {d.cash(total, 2)}")


@problem
def vat_added(d):
    x, t = d.decimal(20, 9000), d.pick(0.05, 0.07, 0.1, 0.19, 0.2, 0.21, 0.25, 0.081)
    return dict(given=dict(x=x, t=t), words=[
        (f"{d.company()} sells {d.good()} for {d.cash(x)} net; VAT is {p(t)}.", d.pick("What is the gross price?", "How much does the customer pay?")),
        (f"Net amount {d.cash(x)}, value added tax {p(t)}.", "Compute the tax and the gross amount."),
        (f"{d.person()} writes an invoice over {d.cash(x)} plus {p(t)} VAT.", "Which total stands at the bottom?")],
        steps=[f"Tax: {n(x, 2)} * {p(t)} = {n(x * t, 2)}", f"Gross: {n(x, 2)} * (1 + {p(t)}) = {n(x * (1 + t), 2)}"], answer=f"The gross price is {d.cash(x * (1 + t), 2)}")


@problem
def vat_contained(d):
    x, t = d.decimal(20, 9000), d.pick(0.05, 0.07, 0.1, 0.19, 0.2, 0.21, 0.25, 0.081)
    net = x / (1 + t)
    return dict(given=dict(x=x, t=t), words=[
        (f"A receipt of {d.company()} shows {d.cash(x)} including {p(t)} VAT.", d.pick("How much tax does it contain?", "Find the tax in the amount.")),
        (f"Gross amount {d.cash(x)}; tax rate {p(t)}.", "Split it into net amount and tax, and report the tax."),
        (f"{d.person()} paid {d.cash(x)} for {d.good()}; the price includes {p(t)} value added tax.", "Which tax can be deducted?")],
        steps=[f"Net: {n(x, 2)} / (1 + {p(t)}) = {n(net, 2)}", f"Tax: {n(x, 2)} - {n(net, 2)} = {n(x - net, 2)}"], answer=f"The tax is {d.cash(x - net, 2)}")
