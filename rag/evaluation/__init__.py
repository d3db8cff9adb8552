"""How good a knowledge base and its answers are: questions, metrics with intervals, comparisons, gates."""
