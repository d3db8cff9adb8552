"""Pipelines: steps that pass on what they find by named ports, checked before anything runs."""
