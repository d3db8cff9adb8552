"""Retrieval-augmented generation over documents, every stage replaceable."""
