"""A model from outside the package, tried before anything is learned: what would fail after hours fails now."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from easyrec import losses
from easyrec.batch import Embedded
from easyrec.config.model import TaskConfig
from easyrec.errors import ConfigError
from easyrec.export.program import EXAMPLE_ROWS, example, export_program, to_calls
from easyrec.layout import GroupLayout
from feature_generator.plugins import blamed

OURS = ("easyrec.", "torch.")
"""Packages whose modules are tested by their own tests."""


def try_out(model: nn.Module, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
    """Score, learn from and export made-up rows with a copy of a model, where modules of it are from outside.

    Args:
        model: The model.
        layouts: The groups that it reads.
        tasks: What is predicted.

    Raises:
        ConfigError: It fails, its logits have other names or shapes than the tasks want, a row scores otherwise alone
            than among others, or it cannot be exported.
    """
    losses_ = [losses.build(task) for task in tasks]
    outside = [m for m in (*model.modules(), *losses_) if not type(m).__module__.startswith(OURS)]
    if not outside:
        return
    place = next((found for module in outside if (found := _source(type(module)))), "")
    with torch.random.fork_rng(devices=()):
        model, tensors = copy.deepcopy(model), example(layouts)
        try:
            _score(model.eval(), tensors, layouts, tasks, place)
            _learn(model.train(), tensors, layouts, tasks, losses_)
            to_calls(export_program(model, layouts))
        except ConfigError:
            raise
        except Exception as error:
            text = str(error) if type(error).__module__.startswith("easyrec.") else f"{type(error).__name__}: {error}"
            raise ConfigError(text, blamed(error.__cause__ or error) or blamed(error) or place) from error


def _source(of: type) -> str:
    """The file of a class, where there is one."""
    try:
        return inspect.getsourcefile(of) or ""
    except (OSError, TypeError):  # a notebook's cell, an extension's class
        return ""


def _score(
    model: nn.Module,
    tensors: Mapping[str, Tensor],
    layouts: Mapping[str, GroupLayout],
    tasks: Sequence[TaskConfig],
    place: str,
) -> None:
    """Names and shapes of the logits, and each row by itself."""
    rows = EXAMPLE_ROWS
    with torch.no_grad():
        together = model(Embedded(dict(tensors), layouts))
        wanted = {name: task.loss_config.num_outputs(task.num_classes) for name, task in _named(tasks)}
        if not isinstance(together, Mapping) or not wanted.keys() <= together.keys():
            given = ", ".join(map(str, together)) if isinstance(together, Mapping) else type(together).__name__
            raise ConfigError(f"forward must give logits by name, {', '.join(wanted)}, but gives {given}", place)
        for name, number in wanted.items():
            shape, found = (rows,) if number == 1 else (rows, number), tuple(together[name].shape)
            if found != shape:
                told = "(B,)" if number == 1 else f"(B, {number})"
                raise ConfigError(
                    f"the logits '{name}' of {rows} rows must be {told} = {shape}, but are {found}", place
                )
        for row in range(rows):
            alone = model(Embedded(_alone(tensors, row), layouts))
            for name in wanted:
                apart = float((alone[name][0] - together[name][row]).abs().max())
                if not apart <= 1e-3 * (1.0 + float(together[name][row].abs().max())):
                    text = f"a row has another '{name}' alone than among {rows} rows, by {apart:.3g}: in evaluation"
                    raise ConfigError(f"{text} nothing may come from the other rows of a batch", place)


def _learn(
    model: nn.Module,
    tensors: Mapping[str, Tensor],
    layouts: Mapping[str, GroupLayout],
    tasks: Sequence[TaskConfig],
    losses_: Sequence[losses.Loss],
) -> None:
    """One step without an update."""
    labels = (torch.arange(EXAMPLE_ROWS) % 2).float()
    given = {label: labels for task in tasks for label in task.labels}
    sessions = {c: torch.zeros(len(labels), dtype=torch.int64) for task in tasks for c in task.loss_config.columns}
    logits = model(Embedded(dict(tensors), layouts))
    parts = [loss(logits[name], labels, None, sessions) for (name, _), loss in zip(_named(tasks), losses_, strict=True)]
    extras = model.auxiliary(logits, given, None)  # type: ignore[operator]
    torch.stack([*parts, *extras.values()]).sum().backward()  # type: ignore[no-untyped-call]


def _named(tasks: Sequence[TaskConfig]) -> list[tuple[str, TaskConfig]]:
    return [("logit" if len(tasks) == 1 else task.name, task) for task in tasks]


def _alone(tensors: Mapping[str, Tensor], row: int) -> dict[str, Tensor]:
    """The inputs of one row."""
    found: dict[str, Tensor] = {}
    for key, tensor in tensors.items():
        kind, _, rest = key.partition(":")
        if kind in ("seq", "rows", "offsets"):
            start, stop = tensors[f"offsets:{rest}"][row : row + 2].tolist()
            parts = {"seq": tensor[start:stop], "rows": torch.zeros(stop - start, dtype=torch.int64)}
            found[key] = parts.get(kind, torch.tensor([0, stop - start]))
        else:
            found[key] = tensor[row : row + 1]
    return found
