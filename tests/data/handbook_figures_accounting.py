"""Worked figures of the finance documents on accounting, costing, budgets and working capital."""

ACCOUNTING = {
}
