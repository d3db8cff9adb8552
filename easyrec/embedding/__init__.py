"""Embedding tables: what a config needs of them, lookup, fused update, and the reader that serves them.

`plan` and `reader` know no torch; `collection` is the trainable side.
"""
