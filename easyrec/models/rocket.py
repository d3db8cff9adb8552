"""`rocket`: a light model that is trained together with a booster, over the same embeddings, and serves alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator
from torch import Tensor, nn

from easyrec import losses
from easyrec.batch import Embedded
from easyrec.config.family import implementation
from easyrec.config.model import GroupUse, ModelConfig, TaskConfig
from easyrec.embedding.spec import EmbeddingPlan
from easyrec.errors import ConfigError, Problem
from easyrec.layout import GroupLayout
from easyrec.losses._loss import counted, mean
from easyrec.models._boxes import Panel, Picture
from easyrec.models._model import Model
from easyrec.models._picture import picture
from feature_generator.config import Choice, fault

SHARED = ("groups", "tasks", "embedding_dim", "embedding_init")
"""Keys that both models have from here."""
PARTS = ("light", "booster")
BOOSTER = "booster/"
"""What the names of its logits begin with, beside those of the light model."""
ALIKE = ("pairs", "own", "one_hot", "codes", "alone")
"""What both must ask of a group alike."""


class Config(ModelConfig):
    """Config of `rocket`; groups, tasks and embeddings are those of both models."""

    example: ClassVar[Mapping[str, Any]] = {
        "light": {"type": "dnn", "hidden": [32]},
        "booster": {"type": "deepfm", "hidden": [256, 128]},
    }

    type: Literal["rocket"] = "rocket"
    light: Annotated[Any, Choice("easyrec.models")]
    """The model that is kept."""
    booster: Annotated[Any, Choice("easyrec.models")]
    """The model that the light one is to follow, and that is forgotten when both are trained."""
    hint: float = Field(1.0, gt=0.0)
    """Weight of the distance of both models' logits."""

    @model_validator(mode="before")
    @classmethod
    def _both_read_the_same(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        shared = {key: value[key] for key in SHARED if key in value}
        found = dict(value)
        for part in PARTS:
            given = found.get(part)
            given = {"type": given} if isinstance(given, str) else given
            if not isinstance(given, Mapping):
                continue
            own = sorted(set(given) & set(SHARED))
            if own:
                raise fault("is shared by both models: set it beside 'light' and 'booster'", part, own[0])
            found[part] = {**shared, **given}
        return found

    @model_validator(mode="after")
    def _both_score_rows(self) -> Config:
        for part in PARTS:
            chosen = getattr(self, part)
            if chosen.searches is not None or chosen.propagated_layers() is not None or chosen.type == self.type:
                raise fault(f"'{chosen.type}' cannot be part of a rocket: take a model that scores rows", part, "type")
        return self

    def uses(self) -> dict[str, GroupUse]:
        """What either reads."""
        found = dict(self.light.uses())
        for name, use in self.booster.uses().items():
            found[name] = _both(found[name], use) if name in found else use
        return found

    def default_encoder(self) -> str | None:
        """Where one looks at steps, both get them."""
        light: str | None = self.light.default_encoder()
        booster: str | None = self.booster.default_encoder()
        return light or booster

    def unfit(self, tasks: Sequence[TaskConfig]) -> Iterator[Problem]:
        """What stands against either, against both over one group, and against the booster's loss."""
        for part in PARTS:
            yield from (_inside(problem, part) for problem in getattr(self, part).unfit(tasks))
        booster = self.booster.uses()
        for name, use in self.light.uses().items():
            other = booster.get(name, use)
            differing = [key for key in ALIKE if getattr(use, key) != getattr(other, key)]
            if differing:
                text = f"'{self.light.type}' and '{self.booster.type}' read the group '{name}' in ways that cannot be shared"
                yield Problem(f"{text} ({', '.join(differing)}): take another of both", "model.booster.type")
        for index, task in enumerate(tasks):
            if task.loss_config.columns:
                text = "the booster knows no sessions: take a loss of rows, or leave 'by' out"
                yield Problem(text, f"model.tasks.{index}.loss")

    def unsampled(self, tasks: Sequence[TaskConfig], label: str) -> Iterator[Problem]:
        """As of the light model, which scores."""
        yield from self.light.unsampled(tasks, label)

    def misfits(self, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> Iterator[Problem]:
        """What stands against building either."""
        for part in PARTS:
            yield from (_inside(problem, part) for problem in getattr(self, part).misfits(layouts, tasks))


def _both(first: GroupUse, second: GroupUse) -> GroupUse:
    """What two models read of a group together."""
    met = {
        key: getattr(first, key) or getattr(second, key) for key in ("fields", "first_order", "equal_dims", "sequence")
    }
    return first.model_copy(update={**met, "optional": first.optional and second.optional})


def _inside(problem: Problem, part: str) -> Problem:
    """A problem of one of both, at its place in the config."""
    shared = tuple(f"model.{key}" for key in SHARED)
    if not problem.where.startswith("model.") or problem.where.startswith(shared):
        return problem
    return replace(problem, where=f"model.{part}.{problem.where.removeprefix('model.')}")


class Rocket(Model):
    """``L = sum_t l_t(y, z) + l_t(y, b) + hint |z - [b]|^2`` of the light model's logit z and the booster's b.

    Both read the same embeddings, which both move. [b] is b without its gradient: the booster does not come towards the
    light model. Outside training the booster is not run, and no bundle has it.

    Shape:
        output: {"logit": (B,)}, or {task: (B,)}, before the sigmoid, of the light model

    Source:
        Zhou et al., "Rocket launching: a universal and efficient framework for training well-performing light net",
        AAAI 2018, eq. (2) and (3).
    """

    def __init__(self, config: Config, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        super().__init__(config, {}, tasks)  # both have their own encoders
        problems: list[Problem] = []
        for part in PARTS:
            chosen = getattr(config, part)
            read = {name: layouts[name] for name in chosen.uses() if name in layouts}
            try:
                self.add_module(part, implementation("easyrec.models", chosen.type, Model)(chosen, read, tasks))
            except ConfigError as error:
                problems += [_inside(problem, part) for problem in error.problems]
        if problems:
            raise ConfigError(problems)
        self.losses = nn.ModuleList(losses.build(task) for task in tasks)

    def forward(self, x: Embedded) -> dict[str, Tensor]:
        """The light model's logits, and in training those of the booster beside them."""
        logits: dict[str, Tensor] = self._part("light")(x)
        if not self.training:
            return logits
        return logits | {BOOSTER + name: logit for name, logit in self._part("booster")(x).items()}

    def picture(self, plan: EmbeddingPlan) -> Picture:
        """Both models, a panel each."""
        drawn = [(part, picture(self._part(part), plan)) for part in PARTS]
        return Picture([Panel(part, panel.boxes) for part, one in drawn for panel in one.panels])

    def _part(self, name: str) -> Model:
        part = self.get_submodule(name)
        assert isinstance(part, Model)
        return part

    def auxiliary(
        self, outputs: Mapping[str, Tensor], labels: Mapping[str, Tensor], weights: Tensor | None
    ) -> dict[str, Tensor]:
        """The booster's losses and the hints, and the own losses of both."""
        theirs = {key.removeprefix(BOOSTER): value for key, value in outputs.items() if key.startswith(BOOSTER)}
        mine = {key: value for key, value in outputs.items() if not key.startswith(BOOSTER)}
        found = dict(self._part("light").auxiliary(mine, labels, weights))
        if not theirs:  # not in training
            return found
        own = self._part("booster").auxiliary(theirs, labels, weights)
        found |= {BOOSTER + name: loss for name, loss in own.items()}
        for task, loss in zip(self.tasks, self.losses, strict=True):
            if not task.weight:
                continue
            key = "logit" if len(self.tasks) == 1 else task.name
            light, booster, rows = mine[key], theirs[key], counted(task, labels, weights)
            found[f"{BOOSTER}{task.name}"] = task.weight * loss(booster, labels[task.label], rows)
            apart = (light - booster.detach()).square().reshape(len(light), -1).mean(1)
            found[f"hint/{task.name}"] = task.weight * self.config.hint * mean(apart, rows)
        return found

    def composed(self, logits: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """As the light model composes them."""
        return self._part("light").composed(logits)
