"""The quality of a view's rows: what is expected of them, and what becomes of those that are otherwise.

expectations.py  what `expect:` of a view says
rows.py          which rows of a batch break an expectation
counts.py        distributions, and how far one is from a baseline
gate.py          batches in, the rows that may be published out, and a verdict
checks.py        verdicts and baselines, kept beside the registry's versions
"""
