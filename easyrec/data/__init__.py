"""Data: sources of rows, and the loader that makes batches of them."""
