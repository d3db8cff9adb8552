"""A head of a composed model: from what some blocks give to the logits of some tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from easyrec.config.model import TaskConfig
from easyrec.errors import ConfigError, Problem
from easyrec.models._model import Head
from easyrec.modules.blocks._block import Form, Value, join, joined, spread, told


class ComposedHead(nn.Module):
    """``z_t = w_t . h + b_t + sum_i a_ti s_i``, with one h for all tasks or one for each.

    Args:
        tasks: What it predicts.
        reads: Names of the blocks that `input`, `each` and `terms` name.
        forms: The shapes of what these give.
        path: Dotted path of the head in the config.
        alone: Whether the model predicts nothing else, so that its one output is called `logit`.

    Raises:
        ConfigError: It cannot read what they give.
    """

    def __init__(
        self,
        tasks: Sequence[TaskConfig],
        reads: Mapping[str, Sequence[str]],
        forms: Mapping[str, Sequence[Form]],
        path: str,
        alone: bool,
    ) -> None:
        super().__init__()
        self.tasks, self.reads = [task.name for task in tasks], {key: tuple(names) for key, names in reads.items()}
        for name, form in zip(reads["terms"], forms["terms"], strict=True):
            if form != (1,):
                text = f"a term is one number per row, (B, 1), but '{name}' is {told(form)}"
                text += "\nname it under 'input', or make one number of it by linear or sum"
                raise ConfigError([Problem(text, f"{path}.terms")])
        terms = len(reads["terms"])
        if not reads["each"]:
            width = joined("vector", forms["input"])[0] if reads["input"] else 0
            self.layers = nn.ModuleList([_head(tasks, _number(width), terms, alone)])
            return
        shapes: list[Any] = spread(forms["each"])
        if len(shapes) == 1 and len(shapes[0]) > 1:
            shapes = [shapes[0][1:]] * shapes[0][0]
        if len(shapes) != len(tasks):
            text = f"has {len(shapes)} vectors for {len(tasks)} tasks: {', '.join(self.tasks)}\nname a vector for each task"
            raise ConfigError([Problem(text, f"{path}.each")])
        widths = [_number(joined("vector", [shape])[0]) for shape in shapes]
        pairs = zip(tasks, widths, strict=True)
        self.layers = nn.ModuleList(_head([task], width, terms, alone) for task, width in pairs)

    def forward(self, values: Mapping[str, Value]) -> dict[str, Tensor]:
        """The logits by output."""
        terms = [values[name] for name in self.reads["terms"]]
        found: dict[str, Tensor] = {}
        for layer, hidden in zip(self.layers, self._hidden(values), strict=True):
            found |= layer(hidden, *terms)
        return found

    def _hidden(self, values: Mapping[str, Value]) -> list[Value | None]:
        """What each layer reads."""
        if not self.reads["each"]:
            return [join("vector", [values[name] for name in self.reads["input"]]) if self.reads["input"] else None]
        vectors = spread([values[name] for name in self.reads["each"]])
        if len(vectors) == 1 and vectors[0].dim() > 2:
            vectors = list(vectors[0].unbind(1))
        return [join("vector", [vector]) for vector in vectors]


def _head(tasks: Sequence[TaskConfig], width: int, terms: int, alone: bool) -> Head:
    head = Head(tasks, width, terms)
    head.names = ["logit"] if alone else [task.name for task in tasks]
    return head


def _number(width: Any) -> int:
    assert isinstance(width, int)
    return width
