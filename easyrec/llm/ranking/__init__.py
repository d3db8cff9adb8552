"""A language model as a ranker: candidates put in order by what a person took, with no training or a few examples.

`cases.py` says what is put in order and what comes of it, `ways.py` how the model is asked (listwise, pairwise, pointwise), and
`ranker.py` asks: many requests at a time, or one before a deadline.
"""

from easyrec.llm.ranking.cases import Case, Ranked, Shot
from easyrec.llm.ranking.ranker import LlmRanker
from easyrec.llm.ranking.ways import Listwise, Pairwise, Pointwise, Way

__all__ = ["Case", "Listwise", "LlmRanker", "Pairwise", "Pointwise", "Ranked", "Shot", "Way"]
