"""The `model` section: what every model's config has. The models themselves are in `easyrec.models`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError
from typing_extensions import Self

from easyrec.config.compress import COMPOSITIONS
from easyrec.config.fitting import fitting
from easyrec.config.mask import Mask
from easyrec.config.steps import LearnedSteps
from easyrec.errors import Problem
from easyrec.layout import GroupLayout, Search
from feature_generator.config import PLAIN, Choice, StrictModel, fault, member

NAME = re.compile(PLAIN)


class EncoderConfig(StrictModel):
    """What every sequence encoder's config has; an encoder's own `Config` derives from it."""

    family: ClassVar[str | None] = "easyrec.modules.sequence"

    type: str
    product: bool = False
    """Also give the model the encoded vector times the candidate, element by element."""

    @property
    def lookup_pooling(self) -> Literal["sum", "mean"] | None:
        """How the embedding lookup alone can do the encoder's work; None: the steps must reach the model."""
        return None

    @property
    def search(self) -> Search | None:
        """Which steps the embedding lookup is to find; None: all of them."""
        return None


class FeatureWiseConfig(StrictModel):
    """What the config of every layer over the fields of a group has; a layer's own `Config` derives from it."""

    type: str


class GatesConfig(StrictModel):
    """What the config of all gates on the inputs of a model has; a type's own `Config` derives from it."""

    family: ClassVar[str | None] = "easyrec.modules.gates"

    type: str
    per: Literal["feature", "dim"] = "feature"
    """One gate for a feature, or one for each number of its embedding."""
    penalty: float = Field(0.0, ge=0.0)
    rate: float = Field(10.0, gt=0.0)
    """So many times as fast as other parameters they move."""
    groups: dict[str, list[str]] = {}
    """Features that share a gate, by a name of theirs."""


class SequenceEntry(StrictModel):
    """A sequence in a group, and how it becomes a vector."""

    sequence: str
    query: dict[str, str] | None = None
    """Child -> candidate feature. Default: the feature of the group that shares the child's `embedding_name`."""
    encoder: Annotated[Any, Choice("easyrec.modules.sequence")] | None = None
    """Default: what the model's docs say, else mean pooling."""
    newest: int | None = Field(None, gt=0)
    """Look up the newest steps alone, at most this many. Default: all, or those that the encoder searches for."""
    name: str | None = Field(None, pattern=NAME.pattern)
    """What the sequence is called in the group, where that holds it twice. Default: as it is called."""

    @model_validator(mode="before")
    @classmethod
    def _no_bare_name(cls, value: Any) -> Any:
        if isinstance(value, str):
            raise ValueError(f"must be a mapping, but is '{value}'\nwrite {{sequence: {value}}}")
        return value

    @property
    def key(self) -> str:
        """Its name in the group."""
        return self.name or self.sequence


class GroupConfig(StrictModel):
    """Features that a model reads together."""

    features: list[str] = []
    sequences: list[SequenceEntry] = []
    feature_wise: list[Annotated[Any, Choice("easyrec.modules.feature_wise")]] = []
    """What weighs the group's fields before the model reads them, one after another."""

    @model_validator(mode="before")
    @classmethod
    def _no_bare_name(cls, value: Any) -> Any:
        if isinstance(value, str):
            text = f"must be a list of features, or a mapping, but is '{value}'"
            raise ValueError(f"{text}\nwrite [{value}], or {{features: [{value}], sequences: [...]}}")
        return value


class GroupUse(StrictModel):
    """What a model reads of a group.

    Attributes:
        fields: Embeddings of the group's features, side by side.
        first_order: One weight per id of every feature (dim 1).
        equal_dims: All embeddings must be equally wide.
        pairs: An id has one embedding for each other field of the group, side by side: `Model.paired_fields`.
        own: The group's embeddings are its own, not shared with other groups that read the same features.
        one_hot: The group has one feature of ids, and an id comes as its one-hot vector, which is not trained.
        codes: Instead of an embedding an item comes as so many numbers, which are not trained: the one feature of a group
            about items, and the children of sequences that share its table.
        alone: The group has one feature of ids, and nothing beside it.
        like: Group to take the features of where the config does not name this one.
        optional: Where the config does not name the group, the model does without.
        sequence: The group must have one.
        about: Which features a first config puts there.
        where: Dotted path of what needs equal dims, where that is a part of the model.
    """

    fields: bool = True
    first_order: bool = False
    equal_dims: bool = False
    pairs: bool = False
    own: bool = False
    one_hot: bool = False
    codes: int = 0
    alone: bool = False
    like: str | None = None
    optional: bool = False
    sequence: bool = False
    about: Literal["all", "user", "item", "domain"] = "all"
    where: str | None = None


DEFAULT_LOSSES = {"binary": "bce", "regression": "mse", "multiclass": "cross_entropy"}
"""Losses of tasks that name none. Other task types are called like their loss."""
CLASSED = ("multiclass", "ordinal")
"""Types of tasks whose labels are 0 to `num_classes - 1`."""


class TaskConfig(StrictModel):
    """One thing to predict."""

    name: str
    label: str
    type: Literal["binary", "regression", "multiclass", "ordinal", "ziln"] = "binary"
    loss: Annotated[Any, Choice("easyrec.losses")] | None = None
    weight: float = Field(1.0, ge=0.0)
    mask: str | None = None
    """Rows that count for this task: an expression over labels, e.g. `click == 1`."""
    num_classes: int | None = Field(None, ge=2)
    metrics: list[Annotated[Any, Choice("easyrec.metrics")]] | None = None
    """Default: those of `eval.metrics` that fit the task's type."""

    @field_validator("name")
    @classmethod
    def _plain(cls, value: str) -> str:
        if not NAME.match(value):
            raise ValueError(f"must be a plain name of letters, digits and '_', but is '{value}'")
        return value

    @field_validator("mask")
    @classmethod
    def _parses(cls, value: str | None) -> str | None:
        if value is not None:
            Mask.parse(value)
        return value

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.num_classes is not None) != (self.type in CLASSED):
            if self.num_classes is not None:
                raise fault(f"a task of type '{self.type}' takes no 'num_classes'\nleave it out", "num_classes")
            text = f"a task of type '{self.type}' needs 'num_classes'\nadd num_classes: K, labels being 0 .. K-1"
            raise fault(text, "type")
        wrong = [
            InitErrorDetails(type=PydanticCustomError("unfit", text), loc=place, input=None)
            for place, text in [*self._unfit_losses(), *self._unfit_metrics()]
        ]
        if wrong:
            raise ValidationError.from_exception_data("TaskConfig", wrong)
        return self

    def _unfit_losses(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Where and why the losses do not suit the task."""
        for place, part in self.loss_config.placed():
            outputs = part.num_outputs(self.num_classes)
            if self.type not in part.task_types:
                text = f"loss '{part.type}' is not for tasks of type '{self.type}'"
                yield ("loss", *place), f"{text}\nfitting: {fitting('easyrec.losses', [self.type])}"
            elif outputs != self.num_outputs:
                text = f"loss '{part.type}' reads {outputs} outputs of the model, but the first of the sum, "
                text += f"'{self.loss_config.parts[0].type}', {self.num_outputs}"
                yield (
                    ("loss", *place),
                    f"{text}\nsum losses that read equally many, or give this one to a task of its own",
                )

    def _unfit_metrics(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Where and why metrics do not suit the task."""
        for index, metric in enumerate(self.metrics or []):
            if self.type not in metric.task_types:
                text = f"metric '{metric.type}' is not for tasks of type '{self.type}'"
                yield ("metrics", index), f"{text}\nfitting: {fitting('easyrec.metrics', [self.type])}"

    @cached_property
    def loss_config(self) -> Any:
        """Config of the loss: the one given, else the default of the task's type."""
        default = DEFAULT_LOSSES.get(self.type, self.type)
        return self.loss if self.loss is not None else member("easyrec.losses", default).Config()

    @property
    def num_outputs(self) -> int:
        """Numbers per row that a model puts out for this task, before the loss's link function."""
        return int(self.loss_config.num_outputs(self.num_classes))

    @property
    def label_classes(self) -> int | None:
        """Number of classes of the label; 0: it is a number of at least 0; None: any number."""
        return {"binary": 2, "ziln": 0}.get(self.type, self.num_classes)

    @cached_property
    def rows(self) -> Mask | None:
        """The parsed `mask`."""
        return None if self.mask is None else Mask.parse(self.mask)

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels that the task reads: its own, then those of its mask."""
        return tuple(dict.fromkeys((self.label, *(self.rows.labels if self.rows else ()))))


class NormalInit(StrictModel):
    """Normal distribution around 0."""

    type: Literal["normal"] = "normal"
    std: float = Field(1e-4, ge=0.0)


class UniformInit(StrictModel):
    """Uniform distribution in [-bound, bound]."""

    type: Literal["uniform"] = "uniform"
    bound: float = Field(0.01, ge=0.0)


class XavierInit(StrictModel):
    """Normal distribution with variance 2 / (rows + dim)."""

    type: Literal["xavier"] = "xavier"


Init = Annotated[NormalInit | UniformInit | XavierInit, Field(discriminator="type")]


SAMPLERS = {"codes": "in_batch", "tree": "tree"}
"""Samplers of models that search for items, by what they search."""


class ModelConfig(StrictModel):
    """What every model's config has; a model's own `Config` derives from it.

    A group may be written as a plain list of features.

    Attributes:
        example_tasks: Tasks of a first config, over the labels `click` and `buy` (of a click), where one binary task
            is not what the model is for.
        example: Keys of a first config, where the model has some without a default.
        item_groups: Groups that describe an item alone, of models that compare users with items by vectors.
        searches: What such a model searches for items, where it compares no vectors: the codes that it writes, or a tree.
    """

    family: ClassVar[str | None] = "easyrec.models"
    example_tasks: ClassVar[Sequence[Mapping[str, Any]]] = ()
    example: ClassVar[Mapping[str, Any]] = {}
    item_groups: ClassVar[tuple[str, ...]] = ()
    searches: ClassVar[Literal["codes", "tree"] | None] = None

    type: str
    groups: dict[str, GroupConfig] | None = None
    """Omitted: one group `deep` of all features that are no sequences."""
    tasks: list[TaskConfig] | None = Field(None, min_length=1)
    """Omitted: one binary task on the first label, called like it."""
    embedding_dim: int | None = Field(None, gt=0)
    """Dim of features that set none."""
    embedding_init: Init = NormalInit()
    feature_gates: Annotated[Any, Choice("easyrec.modules.gates")] | None = None
    """What weighs all inputs and tells what each is worth; see `easyrec select`."""
    compress: dict[str, Annotated[Any, Choice(COMPOSITIONS)]] = {}
    """Tables, by `embedding_name`, that are made of smaller ones while they learn."""

    @model_validator(mode="before")
    @classmethod
    def _losses_are_of_tasks(cls, value: Any) -> Any:
        if isinstance(value, dict) and "loss" in value and "loss" not in cls.model_fields:
            text = f"unknown key: '{cls.model_fields['type'].default}' has a loss per task"
            raise fault(f"{text}\nset tasks: [{{name: ctr, label: click, loss: ...}}]", "loss")
        return value

    @field_validator("groups", mode="before", json_schema_input_type=dict[str, GroupConfig | list[str]] | None)
    @classmethod
    def _lists_are_groups(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return {k: {"features": v} if isinstance(v, list) else v for k, v in value.items()}
        if isinstance(value, list):
            raise ValueError("must be a mapping of groups, but is a list\nname the group, e.g. groups: {deep: [...]}")
        return value

    @model_validator(mode="after")
    def _has_its_sequences(self) -> Self:
        for name, use in self.uses().items():
            groups = self.groups or {}
            group = groups.get(name) or groups.get(use.like or "")
            if use.sequence and not (use.optional and group is None) and not (group and group.sequences):
                raise ValueError(
                    f"'{self.type}' needs a sequence in the group '{name}', e.g.\n"
                    f"groups: {{{name}: {{features: [item_id], sequences: [{{sequence: click_seq}}]}}}}"
                )
        return self

    def unfit(self, tasks: Sequence[TaskConfig]) -> Iterator[Problem]:
        """What stands against predicting these tasks, by dotted path such as `model.tasks.1.weight`."""
        return iter(())

    def unsampled(self, tasks: Sequence[TaskConfig], label: str) -> Iterator[Problem]:
        """What stands against scoring all rows after training on a sample of the rows whose `label` is 0."""
        return iter(())

    def misfits(self, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> Iterator[Problem]:
        """What stands against building the model that can be told beside all other problems of the config.

        Args:
            layouts: The groups, resolved; those that cannot be are missing.
            tasks: What is predicted.
        """
        return iter(())

    def refuse(self, keys: Iterable[str], why: str) -> None:
        """Complain of keys that are given and would do nothing; for validators.

        Args:
            keys: Names of keys.
            why: What follows the key in the message.

        Raises:
            ValidationError: One of them is given.
        """
        given = sorted(set(keys) & self.model_fields_set)
        if given:
            raise fault(f"'{given[0]}' {why}", given[0])

    def uses(self) -> dict[str, GroupUse]:
        """Groups that the model reads, and what of each."""
        return {name: GroupUse() for name in self.groups or ["deep"]}

    def place_of(self, group: str, sequence: str | None = None) -> str:
        """Dotted path of a group, or of a sequence in it; of the group that it is like where it is not named."""
        groups, use = self.groups or {}, self.uses().get(group)
        name = use.like if use and use.like in groups and group not in groups else group
        entries = groups[name].sequences if name in groups else []
        index = next((i for i, entry in enumerate(entries) if entry.key == sequence), None)
        return f"model.groups.{name}" + ("" if index is None else f".sequences.{index}")

    def against(self, group: str, problem: Problem) -> bool:
        """Whether a group cannot be read for a problem with its features: it is one of the group, or of none."""
        uses = self.uses()
        of = [name for name, use in uses.items() if problem.where in (use.where, self.place_of(name))]
        of += [name for name in uses if problem.where.startswith(f"{self.place_of(name)}.")]
        return group in of or not (of or problem.where.startswith("model.groups."))

    def unequal(
        self, group: str, dims: Sequence[tuple[str, int]], vectors: Container[str] = frozenset()
    ) -> Iterator[Problem]:
        """The problem of a group whose fields have other dims than each other.

        Args:
            group: Its name.
            dims: Fields and their dims.
            vectors: Those that are no embeddings: their dims are what the data have.
        """
        ((common, _), *others) = Counter(dim for _, dim in dims).most_common()
        if others:
            fixed = [(name, dim) for name, dim in dims if name in vectors]
            common = fixed[0][1] if fixed else common
            odd = ", ".join(name for name, dim in dims if dim != common)
            place = self.place_of(group)
            shown = place.removeprefix("model.groups.")
            text = f"'{self.type}' needs fields of equal dims, but those of '{shown}' are: "
            text += ", ".join(f"{name} {dim}" for name, dim in dims)
            if len({dim for _, dim in fixed}) > 1:
                names = ", ".join(name for name, _ in fixed)
                text += f"\nthese are vectors, whose dims are those of the data: {names}; keep those of one dim alone"
            else:
                text += f"\nset embedding_dim: {common} at: {odd}"
                text += f"; the dim of the vector {fixed[0][0]} is that of the data" if fixed else ""
                text += "; or leave it out there, for model.embedding_dim" if common == self.embedding_dim else ""
            yield Problem(text, self.uses()[group].where or place)

    def learned_steps(self) -> LearnedSteps | None:
        """Steps of the user's first sequence that such a model learns to tell; None: rows have items of their own."""
        return None

    def propagated_layers(self) -> int | None:
        """Layers by which the embeddings of users and items are spread over the graph of who took what; None: they are not."""
        return None

    def default_encoder(self) -> str | None:
        """Sequence encoder of entries that name none; None: mean pooling."""
        return None
