"""The loop that learns online: what was shown and what followed becomes samples, a model, and what is served.

config.py      `loop.yaml`
joining.py     logs -> samples
window.py      which samples are learned next, and which are held out
versions.py    what is known of each version: a folder with a manifest for each step
learning.py    plan -> train -> gate of one version
publishing.py  the folder that a server watches: bundles, deltas, what is current; rollback
tables.py      popular items and neighbours, counted anew
vectors.py     items of a two-tower model, embedded anew
worker.py      the two processes that do all this again and again
supervisor.py  the process that starts them
status.py      lag, freshness, and what the gate said
page.py        that as HTML, and as text for Prometheus

A step is done once its manifest is there; it is written last, and at one stroke. What is begun anew after a stop makes the
same: its inputs are in the manifest before.
"""
