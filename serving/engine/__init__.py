"""The recommendation engine: a request in, a ranked list out within its deadline.

config.py     `engine.yaml`
rows.py       the catalogue at a moment: items are numbers, their columns arrays
recall/       where candidates come from, a file each; filters/, rerank/ and history/ likewise
plan.py       a scene, compiled over the catalogue: the way of a request through its stages
engine.py     what all scenes share, and keeps up to date
service.py    the same behind HTTP; record.py what it writes down; trace.py what it tells of a list
"""
