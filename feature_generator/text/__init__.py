"""What the text features compute, over whole Arrow arrays: regular expressions, normalisation, tokens.

`plain` says the same in plain Python, one text at a time; the two are tested against each other.
"""
