"""Rewrites of queries: how models are asked for them, which of them are taken, and how they are had at once.

`maker.py` makes them, `rewriter.py` has them ready while people search, `quality.py` says how good they are. The tool is
`easyrec/llm/tools/rewrite.py`.
"""
