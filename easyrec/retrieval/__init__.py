"""Retrieval: items for users out of a whole catalogue, and how good they are."""
