"""A program as steps of our own compiled kernels, over rows that do not know each other."""
