"""Serving: the predictor that answers what was trained. Importing it loads no torch."""

from serving.cache_stats import CacheStats
from serving.catalogue import Catalogue
from serving.explained import Explained
from serving.features import FeatureSource, StoreFeatures
from serving.item_cache import ItemCache
from serving.limits import Limits
from serving.predictor import Predictor
from serving.retriever import Retrieved, Retriever
from serving.stats import Stats
from serving.top import Top
from serving.user_cache import UserCache

__all__ = [
    "CacheStats",
    "Catalogue",
    "Explained",
    "FeatureSource",
    "ItemCache",
    "Limits",
    "Predictor",
    "Retrieved",
    "Retriever",
    "Stats",
    "StoreFeatures",
    "Top",
    "UserCache",
]
