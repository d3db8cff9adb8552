"""Serving: the predictor that answers what was trained. Importing it loads no torch."""

from serving.limits import Limits
from serving.predictor import Predictor
from serving.retriever import Retrieved, Retriever
from serving.stats import Stats

__all__ = ["Limits", "Predictor", "Retrieved", "Retriever", "Stats"]
