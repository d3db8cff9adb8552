"""What the converters of models have at hand: the groups of the source, its features, its layers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Literal

from easyrec.convert import layers
from easyrec.convert.draft import Draft
from easyrec.convert.groups import Group, union
from easyrec.convert.message import Message
from easyrec.convert.outputs import Output
from easyrec.convert.report import Report


class Source(ABC):
    """The model of a config.

    Attributes:
        draft: The experiment that is being written.
        report: Where to say what is not carried.
        known: What the features give, by name.
        layer: What an MLP is called there: `mlp` in TorchEasyRec, `dnn` in EasyRec, where it normalises by default.
        groups: The groups, by name, each with what encodes its sequences.
        wides: Names of those that a linear part reads.
        config: Their `model_config`.
        data: Their `data_config`.
    """

    def __init__(
        self,
        draft: Draft,
        report: Report,
        known: Mapping[str, Output],
        layer: Literal["mlp", "dnn"],
        config: Message,
        data: Message,
    ) -> None:
        self.draft, self.report, self.known, self.layer = draft, report, known, layer
        self.groups: dict[str, Group] = {}
        self.wides: set[str] = set()
        self.config, self.data = config, data

    @abstractmethod
    def deep(self) -> Group:
        """All that no linear part reads, together."""

    @abstractmethod
    def main(self) -> Group:
        """What models of one group read."""

    @abstractmethod
    def task(self, tower: Message, index: int) -> dict[str, Any]:
        """The task of a tower, the `index`-th."""

    def wide(self) -> Group | None:
        """The groups of a linear part together."""
        return union(self.groups[name] for name in self.groups if name in self.wides) if self.wides else None

    def group(self, name: str) -> Group:
        """A group by its name, a fresh one that may be added to."""
        return union([self.groups[name]] if name in self.groups else [])

    def mlp(self, message: Message | None, *, omitted: bool = False) -> dict[str, Any]:
        """The keys of an MLP.

        Args:
            message: The MLP.
            omitted: Whether one that is not there has no layers, rather than the default ones.
        """
        if message is None:
            return {"hidden": []} if omitted else {}
        return layers.mlp(message, self.report, batch_norm=self.layer == "dnn")

    def field(self, name: str) -> str:
        """Name of a field such as `bottom_mlp`."""
        return f"{name}_{self.layer}"
