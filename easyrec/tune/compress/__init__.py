"""Compression: which codecs, or which smaller tables to learn, reach a size without costing accuracy."""
