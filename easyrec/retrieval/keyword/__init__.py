"""Keyword search: BM25 over texts in any language, on disk, with filters, and changed while it is searched."""
