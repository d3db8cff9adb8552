"""The `model` section of item-to-item statistics, which are counted rather than trained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

from pydantic import Field

from easyrec.config.model import GroupUse, ModelConfig, TaskConfig
from easyrec.config.steps import LearnedSteps
from easyrec.errors import Problem, nearest
from feature_generator import OutputSpec

GROUPS = (
    "groups: {user: {sequences: [{sequence: history}]}, item: [item_id]}, or groups: {user: [user_id], item: [item_id]}"
)


class StatisticConfig(ModelConfig):
    """What every statistic's config has; a statistic's own `Config` derives from it.

    A user is known by a sequence of items, or by an id: by what training has seen under it.
    """

    family: ClassVar[str | None] = "easyrec.statistics"
    item_groups: ClassVar[tuple[str, ...]] = ("item",)

    recency: float = Field(1.0, gt=0.0, le=1.0)
    """w of the newest item of a user is 1, of the one before it this, of the one before that its square, ..."""
    repeats: bool = True
    """Whether a user can be given what the history holds; also `exclude` leaves out, what a feature says."""

    def learned_steps(self) -> LearnedSteps | None:
        """The steps of the user's sequence, where it has one."""
        return LearnedSteps() if self.groups and "user" in self.groups and self.groups["user"].sequences else None

    def uses(self) -> dict[str, GroupUse]:
        """A user and an item."""
        return {"user": GroupUse(about="user"), "item": GroupUse(about="item")}

    def entries(self, items: int) -> int:
        """Entries of the matrix over so many items, at most."""
        kept = getattr(self, "neighbours", 0)
        return items * min(items if kept is None else kept, items)

    def unfit(self, tasks: Sequence[TaskConfig]) -> Iterator[Problem]:
        """Tasks, which none of these predicts."""
        if self.tasks is not None:
            yield Problem(f"'{self.type}' predicts no labels: leave 'tasks' out", "model.tasks")

    def unread(self, outputs: Mapping[str, OutputSpec]) -> Iterator[Problem]:
        """What stands against telling users and items apart.

        Args:
            outputs: The generator's.
        """
        groups = self.groups or {}
        if set(groups) != {"user", "item"}:
            yield Problem(f"'{self.type}' needs the groups 'user' and 'item':\n{GROUPS}", "model.groups")
            return
        for name, group in groups.items():
            for index, feature in enumerate(group.features):
                if feature not in outputs:
                    text = f"no feature is called '{feature}'{nearest(feature, list(outputs))}"
                    yield Problem(text, f"model.groups.{name}.features.{index}")
        user = groups["user"]
        sequences = {spec.sequence or name for name, spec in outputs.items() if spec.kind.endswith("sequence")}
        for index, entry in enumerate(user.sequences):
            if entry.sequence not in sequences:
                text = f"no sequence is called '{entry.sequence}'{nearest(entry.sequence, list(sequences))}"
                yield Problem(text, f"model.groups.user.sequences.{index}")
        if user.sequences:
            return
        if len(user.features) != 1:
            text = f"'{self.type}' knows a user by one sequence of items, or by the one id that tells users apart:\n"
            yield Problem(text + GROUPS, "model.groups.user")
        elif user.features[0] in outputs and outputs[user.features[0]].kind != "sparse":
            text = f"'{user.features[0]}' is no feature of ids, by which users could be told apart"
            yield Problem(text, "model.groups.user.features.0")
