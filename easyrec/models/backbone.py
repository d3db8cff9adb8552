"""`backbone`: a model composed in YAML, a graph of named blocks and a head for each task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field, ValidationError, model_validator
from pydantic.functional_validators import ModelWrapValidatorHandler
from pydantic_core import InitErrorDetails, PydanticCustomError
from torch import Tensor, nn
from typing_extensions import Self

from easyrec.batch import Embedded
from easyrec.config.model import GroupUse, ModelConfig, TaskConfig
from easyrec.embedding.spec import EmbeddingPlan
from easyrec.errors import ConfigError, Problem
from easyrec.layout import GroupLayout, SequenceLayout
from easyrec.models._boxes import Picture
from easyrec.models._composed_head import ComposedHead
from easyrec.models._composed_picture import composed_picture
from easyrec.models._composition import READS, HeadConfig, PackageConfig, Parts, wired_raw
from easyrec.models._model import Model
from easyrec.modules.blocks import AnyBlock
from easyrec.modules.blocks._graph import Graph, Surroundings
from easyrec.modules.named import module_name


class Config(ModelConfig):
    """Config of `backbone`."""

    example: ClassVar[Mapping[str, Any]] = {
        "blocks": [
            {"name": "fields", "type": "fields"},
            {"name": "linear", "type": "first_order"},
            {"name": "fm", "type": "fm", "input": "fields"},
            {"name": "deep", "type": "mlp", "input": {"type": "flat"}, "hidden": [256, 128]},
        ],
        "heads": [{"input": "deep", "terms": ["linear", "fm"]}],
    }

    type: Literal["backbone"] = "backbone"
    packages: list[PackageConfig] = []
    """Graphs that are called by name, with shared weights."""
    blocks: list[AnyBlock] = Field(min_length=1)
    """The graph, in any order."""
    heads: list[HeadConfig] = Field(min_length=1)
    """From blocks to logits."""

    @model_validator(mode="wrap")
    @classmethod
    def _names_too(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Where keys are wrong, what is wrong with the names is told in the same report."""
        try:
            return handler(value)
        except ValidationError as error:
            found = {e["loc"]: (e["type"], e["msg"], e["input"]) for e in error.errors(include_url=False)}
            for problem in wired_raw(value) if isinstance(value, Mapping) else ():
                loc = tuple(int(part) if part.isdigit() else part for part in problem.where.split(".")[1:])
                found.setdefault(loc, ("wiring", problem.message, None))
            details = [
                InitErrorDetails(type=PydanticCustomError(kind, text), loc=loc, input=given)
                for loc, (kind, text, given) in found.items()
            ]
            raise ValidationError.from_exception_data(cls.__name__, details) from None

    @property
    def parts(self) -> Parts:
        """What the model is composed of."""
        return Parts(self.blocks, self.packages, self.heads, list(self.groups) if self.groups is not None else ["deep"])

    def uses(self) -> dict[str, GroupUse]:
        """What the blocks read, all together."""
        found: dict[str, GroupUse] = {}
        for path, block in self.parts.every():
            used = block.use()
            if used is not None and used[0] in self.parts.groups:  # others are told where the block names them
                name, use = used
                use = use.model_copy(update={"where": path}) if use.equal_dims else use
                found[name] = _both(found[name], use) if name in found else use
        return found or super().uses()

    def misfits(self, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> Iterator[Problem]:
        """All that is wrong with names, heads and shapes: the model is built without memory for its weights."""
        try:
            with torch.device("meta"):
                Backbone(self, layouts, tasks)
        except ConfigError as error:
            yield from error.problems


class Backbone(Model):
    """The blocks, each after what it reads, then the heads.

    Shape:
        output: {"logit": (B,)}, or {task: (B,)}, before the sigmoid
    """

    def __init__(self, config: Config, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        problems: list[Problem] = []
        try:
            super().__init__(config, layouts, tasks)
        except ConfigError as error:  # the rest is checked as well, but for blocks that read these groups
            problems += error.problems
        unfit = {name for name in self.layouts if any(config.against(name, problem) for problem in problems)}
        parts = config.parts
        wiring = parts.wired()
        around = Surroundings(self, tasks, parts.graphs(), set(self.layouts) - unfit)
        self.graph = Graph(wiring, around, {})
        self.packages = nn.ModuleDict({module_name(name): package for name, package in around.built.items() if package})
        problems += [*wiring.problems, *around.problems]
        heads: list[ComposedHead] = []
        for number, head in enumerate(config.heads):
            reads = {name: wiring.reads[f"model.heads.{number}.{name}"] for name in READS}
            try:
                heads += self._head(head, reads, f"model.heads.{number}")
            except ConfigError as error:
                problems += error.problems
        self.heads = nn.ModuleList(heads)
        problems += parts.untold(tasks, config.tasks is not None)
        if problems:
            raise ConfigError(list(dict.fromkeys(problems)))

    def _head(self, config: HeadConfig, reads: Mapping[str, Sequence[str]], path: str) -> list[ComposedHead]:
        """The head of a config; none where what it reads cannot be told."""
        if not any(reads.values()):
            raise ConfigError([Problem("needs 'input', 'each' or 'terms': the blocks that it reads", path)])
        if reads["input"] and reads["each"]:
            raise ConfigError([Problem("takes either 'input' or 'each'", path)])
        forms = {name: [self.graph.forms.get(ref) for ref in refs] for name, refs in reads.items()}
        tasks = [task for task in self.tasks if config.tasks is None or task.name in config.tasks]
        if not tasks or any(form is None for given in forms.values() for form in given):
            return []
        return [ComposedHead(tasks, reads, forms, path, len(self.tasks) == 1)]  # type: ignore[arg-type]

    def picture(self, plan: EmbeddingPlan) -> Picture:
        """Groups, blocks and heads; then each package by itself."""
        named = {package.name: module_name(package.name) for package in self.config.packages}
        packages: Any = {name: self.packages[key] for name, key in named.items() if key in self.packages}
        return composed_picture(self.layouts, plan, self.graph, packages, list(self.heads))  # type: ignore[arg-type]

    def interest(self, x: Embedded, sequence: SequenceLayout, group: str = "deep") -> Tensor:
        """(B, D), a sequence encoded; once, however many blocks read it."""
        if not isinstance(x, _Once):
            return super().interest(x, sequence, group)
        place = (group, sequence.name)
        if place not in x.encoded:
            x.encoded[place] = super().interest(x, sequence, group)
        return x.encoded[place]

    def forward(self, x: Embedded) -> dict[str, Tensor]:
        """The logits."""
        values = self.graph(self, _Once(x), {})
        logits: dict[str, Tensor] = {}
        for head in self.heads:
            logits |= head(values)
        return logits if len(logits) == 1 else {task.name: logits[task.name] for task in self.tasks}


class _Once(Embedded):
    """Embedded inputs that remember what became of their sequences."""

    def __init__(self, x: Embedded) -> None:
        super().__init__(x.tensors, x.layouts)
        self.encoded: dict[tuple[str, str], Tensor] = {}


def _both(first: GroupUse, second: GroupUse) -> GroupUse:
    """What two blocks read of a group."""
    return GroupUse(
        fields=first.fields or second.fields,
        first_order=first.first_order or second.first_order,
        equal_dims=first.equal_dims or second.equal_dims,
        where=first.where or second.where,
    )
