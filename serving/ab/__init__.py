"""Experiments: who is in which variant, what stops one, and what came of it. Imports no torch and no engine.

experiments = Experiments.load("experiments.yaml")
assignment = experiments.assign("u1", {"country": "NO"}, scene="feed")
assignment.variants     {"ranking": "deep/treatment"}
assignment.parameters   {"rank.model": "deep"}
"""

from serving.ab.assignment import Assignment
from serving.ab.config import ExperimentsConfig, load_experiments
from serving.ab.experiments import Experiments
from serving.ab.state import State, Stopped

__all__ = ["Assignment", "Experiments", "ExperimentsConfig", "State", "Stopped", "load_experiments"]
