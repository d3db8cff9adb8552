"""What `esmm` and `escm2` share: a click, a conversion given a click, and both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from easyrec.config.model import TaskConfig
from easyrec.errors import Problem
from easyrec.layout import GroupLayout
from easyrec.models._model import Model
from easyrec.models._towers import Logits, Towers, TowersConfig, no_probabilities, unknown_task

EXAMPLE = """tasks:
  - {name: ctr, label: click}
  - {name: cvr, label: buy, mask: "click == 1", weight: 0}
  - {name: ctcvr, label: buy}"""


@dataclass(frozen=True)
class Roles:
    """Names of the three tasks."""

    click: str
    conversion: str
    both: str


class FunnelConfig(TowersConfig):
    """Keys of models of a click, a conversion given a click, and both; by default the tasks in this order."""

    example_tasks: ClassVar[Sequence[Mapping[str, Any]]] = (
        {"name": "ctr", "label": "click"},
        {"name": "cvr", "label": "buy", "mask": "click == 1", "weight": 0},
        {"name": "ctcvr", "label": "buy"},
    )

    click: str | None = None
    """Task of the click, over all rows."""
    conversion: str | None = None
    """Task of the conversion of a clicked row; learned through `both`, so its own weight is 0."""
    both: str | None = None
    """Task of click and conversion, over all rows."""

    def roles(self, tasks: Sequence[TaskConfig]) -> Roles:
        """Who is who: the keys, then the tasks that are left in their order."""
        given = (self.click, self.conversion, self.both)
        left = iter([task.name for task in tasks if task.name not in given])
        return Roles(*(name or next(left) for name in given))

    def unfit(self, tasks: Sequence[TaskConfig]) -> Iterator[Problem]:
        """What stands against these tasks, each told with its remedy."""
        yield from super().unfit(tasks)
        if len(tasks) != 3:
            text = f"'{self.type}' has three tasks, a click, a conversion given a click, and both"
            yield Problem(f"{text}, but there are {len(tasks)}; e.g.\n{EXAMPLE}", "model.tasks")
            return
        names = [task.name for task in tasks]
        given = {"click": self.click, "conversion": self.conversion, "both": self.both}
        unknown = {role: name for role, name in given.items() if name is not None and name not in names}
        named = [name for name in given.values() if name is not None]
        for role, name in unknown.items():
            yield unknown_task(name, names, f"model.{role}")
        if len(set(named)) < len(named):
            yield Problem(
                f"'click', 'conversion' and 'both' are three tasks, but these are: {', '.join(named)}", "model"
            )
        elif not unknown:
            found = list(self._misfits(tasks))
            if found and not named:
                roles = self.roles(tasks)
                told = f"by their order '{roles.click}' is the click, '{roles.conversion}' the conversion, '{roles.both}' both"
                text = f"{found[0].message}\n({told}; the keys click, conversion and both name others)"
                found[0] = Problem(text, found[0].where)
            yield from found

    def unsampled(self, tasks: Sequence[TaskConfig], label: str) -> Iterator[Problem]:
        """A sample of other rows than all clicks: what is left of the others distorts every probability differently."""
        if list(self.unfit(tasks)):
            return
        (click,) = (task for task in tasks if task.name == self.roles(tasks).click)
        if click.label != label:
            text = f"negatives by '{label}' are sampled, but '{self.type}' can correct '{click.name}' alone, and what "
            text += f"is made of it\nmake '{click.label}' the first of data.labels, or leave data.negative_sampling out"
            yield Problem(text, "data.labels.0")

    def _misfits(self, tasks: Sequence[TaskConfig]) -> Iterator[Problem]:
        found = self.roles(tasks)
        place = {task.name: f"model.tasks.{index}" for index, task in enumerate(tasks)}
        by_name = {task.name: task for task in tasks}
        click, conversion, whole = (by_name[name] for name in (found.click, found.conversion, found.both))
        yield from no_probabilities(self.type, tasks)
        for task in (click, whole):
            if task.mask is not None:
                text = f"'{task.name}' is learned from all rows: take the mask away"
                yield Problem(text, f"{place[task.name]}.mask")
        if conversion.label != whole.label:
            text = f"'{conversion.name}' and '{whole.name}' have the same label, but '{whole.name}' has '{whole.label}'"
            yield Problem(f"{text}: make it '{conversion.label}'", f"{place[whole.name]}.label")
        if conversion.mask is None:
            text = f"'{conversion.name}' is told of clicked rows alone: give it mask: \"{click.label} == 1\""
            yield Problem(text, place[conversion.name])
        if conversion.weight:
            text = f"'{conversion.name}' is learned through '{whole.name}' over all rows: set its weight to 0"
            where = "weight" in conversion.model_fields_set
            yield Problem(text, place[conversion.name] + ".weight" * where)


class Funnel(Model):
    """The towers of click and conversion, and both of them composed."""

    def __init__(self, config: FunnelConfig, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__(config, layouts, tasks)
        self.roles = config.roles(tasks)
        learned = [task for task in tasks if task.name != self.roles.both]
        self.towers = Towers(learned, self.width(), config)
        self.logits = Logits(learned, self.towers.outs)

    def composed(self, logits: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The logits in the order of the tasks, that of both made of the others."""
        whole = both(logits[self.roles.click], logits[self.roles.conversion])
        return {task.name: whole if task.name == self.roles.both else logits[task.name] for task in self.tasks}


def both(click: Tensor, conversion: Tensor) -> Tensor:
    """The logit of ``s(a) s(b)`` for logits a, b, without overflow or loss of digits.

    The odds of the product are ``1 / (e^-a + e^-b + e^-(a + b))``.

    Shape:
        click, conversion, output: (B,)
    """
    a, b = click, conversion
    return -torch.logsumexp(torch.stack([-a, -b, -a - b], dim=1), dim=1)
