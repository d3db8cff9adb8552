"""A world with users whose tastes are known: it drives an engine, and tells what its lists are truly worth.

docs/guide/simulator.md describes the world, the figures, and how to begin with nothing.
"""

from __future__ import annotations

from easyrec.simulate.config import SimulateConfig, WorldConfig, load_simulate
from easyrec.simulate.simulation import Simulation
from easyrec.simulate.world import Requests, World

__all__ = ["Requests", "SimulateConfig", "Simulation", "World", "WorldConfig", "load_simulate"]
