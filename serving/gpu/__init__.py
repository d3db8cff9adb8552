"""Answering on a GPU: a bundle's programs run there, in graphs that are captured once, over tables here or there.

config.py      what a caller may say
feed.py        the inputs of a program as arrays that can be padded to sizes which repeat
session.py     static buffers, a stream and captured graphs; some of them make a group
placement.py   what runs where, by measured time
scorer.py      puts them together for a bundle
"""
