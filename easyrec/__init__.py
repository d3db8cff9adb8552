"""easyrec: one YAML trains, evaluates, exports and serves a recommendation model.

    import easyrec
    run = easyrec.train("config.yaml", overrides={"train.epochs": 1})
    run.metrics["test"]["auc"], run.bundle, run.report

Importing this loads no torch; using it does.
"""

from __future__ import annotations

import sys
from importlib import import_module
from inspect import Signature, signature
from types import ModuleType
from typing import TYPE_CHECKING, Any

from easyrec.processors import wait_asleep

if TYPE_CHECKING:
    from easyrec.config import load_experiment
    from easyrec.export.delta import apply_delta, make_delta
    from easyrec.train.api import choose_index, embed, evaluate, export, predict, retrieve, train
    from easyrec.train.run import Run
    from easyrec.train.semantic_ids import semantic_ids
    from easyrec.train.tree import tree
    from easyrec.tune.advise.api import advise
    from easyrec.tune.api import tune
    from easyrec.tune.compress.api import Compressed, compress
    from easyrec.tune.cross.api import cross
    from easyrec.tune.cross.found import Crossed
    from easyrec.tune.distill import distill
    from easyrec.tune.distilled import Distilled
    from easyrec.tune.select.api import select
    from easyrec.tune.select.selected import Selected
    from easyrec.tune.tuned import Tuned

__all__ = [
    "Compressed",
    "Crossed",
    "Distilled",
    "Run",
    "Selected",
    "Tuned",
    "advise",
    "apply_delta",
    "choose_index",
    "compress",
    "cross",
    "distill",
    "embed",
    "evaluate",
    "export",
    "load_experiment",
    "make_delta",
    "predict",
    "retrieve",
    "select",
    "semantic_ids",
    "train",
    "tree",
    "tune",
]

_HOMES = {
    "Compressed": "easyrec.tune.compress.api",
    "Crossed": "easyrec.tune.cross.found",
    "Distilled": "easyrec.tune.distilled",
    "Run": "easyrec.train.run",
    "Selected": "easyrec.tune.select.selected",
    "Tuned": "easyrec.tune.tuned",
    "advise": "easyrec.tune.advise.api",
    "apply_delta": "easyrec.export.delta",
    "choose_index": "easyrec.train.api",
    "compress": "easyrec.tune.compress.api",
    "cross": "easyrec.tune.cross.api",
    "distill": "easyrec.tune.distill",
    "embed": "easyrec.train.api",
    "evaluate": "easyrec.train.api",
    "load_experiment": "easyrec.config",
    "make_delta": "easyrec.export.delta",
    "predict": "easyrec.train.api",
    "retrieve": "easyrec.train.api",
    "select": "easyrec.tune.select.api",
    "semantic_ids": "easyrec.train.semantic_ids",
    "tree": "easyrec.train.tree",
}


_ROOMS = {"export": "easyrec.train.api", "train": "easyrec.train.api", "tune": "easyrec.tune.api"}


class _Room(ModuleType):
    """A room that is called like a command: `easyrec.train` is the folder, `easyrec.train(...)` the function."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._command(*args, **kwargs)

    @property
    def _command(self) -> Any:
        wait_asleep()
        name = self.__name__.rpartition(".")[2]
        return getattr(import_module(_ROOMS[name]), name)

    @property
    def __signature__(self) -> Signature:
        return signature(self._command)


class _Easyrec(ModuleType):
    """This package. The import system sets each room as its attribute; here some of them become callable."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _ROOMS and type(value) is ModuleType:
            value.__class__ = _Room
        super().__setattr__(name, value)

    def __getattr__(self, name: str) -> Any:
        if name in _ROOMS:
            return import_module(f"easyrec.{name}")
        if name in _HOMES:
            wait_asleep()
            return getattr(import_module(_HOMES[name]), name)
        raise AttributeError(f"module 'easyrec' has no attribute '{name}'")

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *__all__})


sys.modules[__name__].__class__ = _Easyrec
