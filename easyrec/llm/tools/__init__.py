"""Tools of `easyrec llm`: what language models do for recommendation.

One file (or room) per tool, named as its section of `llm.yaml` and its command `easyrec llm <tool>`, each with a `Config`.
None of them imports torch or a server's library before it is run.
"""
