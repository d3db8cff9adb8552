"""Rewrites of queries over HTTP: what `easyrec llm rewrite --serve` runs."""
