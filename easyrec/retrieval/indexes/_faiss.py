"""FAISS, untyped: its stubs lack half of what it has."""

from __future__ import annotations

from importlib import import_module
from typing import Any

faiss: Any = import_module("faiss")
