"""What a matching model reads of a user and of an item, each on its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from easyrec.errors import ConfigError, Problem

if TYPE_CHECKING:
    from easyrec.config import Experiment
    from feature_generator import FeatureGenerator


class Sides:
    """The features of a matching model by side.

    Args:
        experiment: Whose model compares users with items.

    Attributes:
        user_groups, item_groups: Groups that describe either.
        users, items: Outputs that these read.
        key: Output that tells items apart.
        learned: Steps of the user's first sequence that are learned; None: a row's own item is.
        sequence: The child of it that tells items apart.

    Raises:
        ConfigError: The steps are to be learned, and are no items.
    """

    def __init__(self, experiment: Experiment) -> None:
        self.experiment, model = experiment, experiment.model
        self.item_groups = model.item_groups
        self.user_groups = tuple(name for name in model.uses() if name not in self.item_groups)
        self.users = {name for group in self.user_groups for name in self._of_group(group)}
        self.items = {name for group in self.item_groups for name in self._of_group(group)}
        self.key = experiment.data.item_id
        self.learned = model.learned_steps()
        self.sequence = None if self.learned is None else self._steps()

    def _of_group(self, name: str) -> set[str]:
        group = (self.experiment.model.groups or {}).get(name)
        if group is None:
            return set()
        return {*group.features, *(child for entry in group.sequences for child in self._children(entry.sequence))}

    def _children(self, sequence: str) -> list[str]:
        outputs = self.experiment.generator.outputs
        return [name for name, spec in outputs.items() if (spec.sequence or name) == sequence]

    def _steps(self) -> str:
        outputs, groups = self.experiment.generator.outputs, self.experiment.model.groups or {}
        name = self.user_groups[0]
        entry = groups[name].sequences[0]
        key = outputs[self.key].config
        for child in self._children(entry.sequence):
            config = outputs[child].config
            if (config.embedding_name or config.name) == (key.embedding_name or key.name):
                return child
        text = f"no child of '{entry.sequence}' shares the embedding_name of '{self.key}', so its steps are no items"
        raise self.experiment.placed(ConfigError([Problem(text, f"model.groups.{name}.sequences.0")]))

    def generator(self, rows: Literal["learned", "asked", "items", "user", "item"]) -> FeatureGenerator:
        """The generator of some rows: users with what they took or with what they want, the catalogue, or one side alone."""
        retrieval, whole = self.experiment.eval.retrieval, self.experiment.generator
        if rows in ("user", "item"):
            return whole.only(self.users if rows == "user" else self.items)
        if rows == "items":
            return whole.only({*self.items, self.key})
        if rows == "learned":
            sampler = self.experiment.data.sampler
            named = sampler.features.values() if sampler is not None else ()
            return whole.only({*self.users, *named, *([] if self.sequence else [self.key])})
        spared = [retrieval.exclude] if retrieval is not None and retrieval.exclude is not None else []
        return whole.only({*self.users, self.key, *spared})
