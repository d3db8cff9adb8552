"""`backbone`: a model composed in YAML, a graph of named blocks and a head for each task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field, ValidationError, model_validator
from pydantic.functional_validators import ModelWrapValidatorHandler
from pydantic_core import InitErrorDetails, PydanticCustomError
from torch import Tensor, nn
from typing_extensions import Self

from easyrec.batch import Embedded
from easyrec.config.model import GroupUse, ModelConfig, TaskConfig
from easyrec.embedding.spec import EmbeddingPlan
from easyrec.errors import ConfigError, Problem, nearest
from easyrec.layout import GroupLayout, SequenceLayout
from easyrec.models._model import Head, Model
from easyrec.models._picture import Box, Panel, Picture, group_box, weights
from easyrec.modules.blocks import BLOCKS, AnyBlock, BlockConfig, GroupBlockConfig, Wires
from easyrec.modules.blocks._block import Block, Form, Value, join, joined, spread, told
from easyrec.modules.blocks._graph import Graph, Package, Surroundings, key
from easyrec.modules.blocks._wiring import Wiring, every, stand_in, wire
from easyrec.modules.blocks.package import Config as PackageBlock
from feature_generator.config import Choice, StrictModel


class PackageConfig(StrictModel):
    """A graph that blocks of type `package` call, with the same weights each time."""

    name: str
    inputs: list[str] = []
    """Names by which its blocks read what it is called with."""
    blocks: list[AnyBlock] = Field(min_length=1)
    output: Annotated[Any, Wires()]
    """The block that it gives; several are given as a list."""


class HeadConfig(StrictModel):
    """The last layer: ``z_t = w_t . h + b_t + sum_i a_ti s_i``, see `easyrec.models.Head`."""

    tasks: list[str] | None = Field(None, min_length=1)
    """Names of tasks; omitted: all."""
    input: Annotated[Any, Wires()] = None
    """Blocks that make h, side by side."""
    each: Annotated[Any, Wires()] = None
    """In place of `input`: a list, or fields (B, T, D), with one h for each task, in their order."""
    terms: Annotated[Any, Wires()] = None
    """Blocks (B, 1), the scalar terms s."""


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
            known = [
                InitErrorDetails(type=PydanticCustomError(e["type"], e["msg"]), loc=e["loc"], input=e["input"])
                for e in error.errors(include_url=False)
            ]
            broken = [e["loc"] for e in known]
            for problem in _wired_raw(value).problems if isinstance(value, Mapping) else ():
                loc = tuple(int(part) if part.isdigit() else part for part in problem.where.split(".")[1:])
                if loc not in broken:
                    known.append(
                        InitErrorDetails(type=PydanticCustomError("wiring", problem.message), loc=loc, input=None)
                    )
            raise ValidationError.from_exception_data(cls.__name__, known) from None

    def uses(self) -> dict[str, GroupUse]:
        """What the blocks read, all together."""
        found: dict[str, GroupUse] = {}
        for _, block in self.every():
            used = block.use()
            if used is not None and used[0] in self.known_groups:  # others are told where the block names them
                name, use = used
                found[name] = _both(found[name], use) if name in found else use
        return found or super().uses()

    @property
    def known_groups(self) -> list[str]:
        """Groups that blocks may read."""
        return list(self.groups) if self.groups is not None else ["deep"]

    def every(self) -> Iterator[tuple[str, BlockConfig]]:
        """All blocks, those of packages and those inside others included, each with its dotted path."""
        listed = [(f"model.blocks.{i}", block) for i, block in enumerate(self.blocks)]
        for number, package in enumerate(self.packages):
            listed += [(f"model.packages.{number}.blocks.{i}", block) for i, block in enumerate(package.blocks)]
        for number, head in enumerate(self.heads):
            for name in ("input", "each", "terms"):
                written = getattr(head, name)
                for index, one in enumerate(written if isinstance(written, list) else [written]):
                    if isinstance(one, BlockConfig):
                        suffix = f".{index}" if isinstance(written, list) else ""
                        listed.append((f"model.heads.{number}.{name}{suffix}", one))
        return every(listed)

    def wired(self) -> Wiring:
        """The graph's names resolved, those inside packages too."""
        found = _wired(self.blocks, self.heads)
        names: list[str] = []
        for number, package in enumerate(self.packages):
            if package.name in names:
                text = f"the name '{package.name}' is given twice"
                found.problems.append(Problem(text, f"model.packages.{number}.name"))
            names.append(package.name)
            found.problems += _wired_package(package, number).problems
        for path, block in self.every():
            if isinstance(block, GroupBlockConfig) and block.group not in self.known_groups:
                hint, listed = nearest(block.group, self.known_groups), ", ".join(self.known_groups)
                found.problems.append(
                    Problem(f"no group is called '{block.group}'{hint}\nknown: {listed}", f"{path}.group")
                )
        called = self._calls(found.problems, names)
        for number, name in enumerate(names):
            if name not in called:
                text = f"no block calls the package '{name}'\ncall it by {{type: package, package: {name}}}"
                found.problems.append(Problem(text, f"model.packages.{number}"))
        return found

    def _calls(self, problems: list[Problem], names: Sequence[str]) -> set[str]:
        """Packages that are called; unknown ones, and those that call themselves, are problems."""
        called: set[str] = set()
        callees: dict[str, list[str]] = {}
        for path, block in self.every():
            name = getattr(block, "package", None) if block.type == "package" else None
            if name is None:
                continue
            if name not in names:
                text = f"no package is called '{name}'{nearest(name, names)}\nknown: {', '.join(names) or 'none'}"
                problems.append(Problem(text, f"{path}.package"))
            called.add(name)
            if path.startswith("model.packages."):
                callees.setdefault(names[int(path.split(".")[2])], []).append(name)
        for number, name in enumerate(names):
            below, waiting = set[str](), list(callees.get(name, []))
            while waiting:
                one = waiting.pop()
                waiting += callees.get(one, []) if one not in below else []
                below.add(one)
            if name in below:
                problems.append(Problem(f"package '{name}' calls itself", f"model.packages.{number}"))
        return called

    def misfits(self, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> Iterator[Problem]:
        """All that is wrong with names, heads and shapes: the model is built without memory for its weights."""
        try:
            with torch.device("meta"):
                Backbone(self, layouts, tasks)
        except ConfigError as error:
            yield from error.problems


class Backbone(Model):
    """The blocks in their order, then the heads.

    Shape:
        output: {"logit": (B,)}, or {task: (B,)}, before the sigmoid
    """

    def __init__(self, config: Config, layouts: Mapping[str, GroupLayout], tasks: Sequence[TaskConfig]) -> None:
        problems: list[Problem] = []
        try:
            super().__init__(config, layouts, tasks)
        except ConfigError as error:  # the rest is checked as well, but for blocks that read these groups
            problems += error.problems
        unfit = {problem.where.split(".")[2] for problem in problems if problem.where.count(".") > 1}
        wiring = config.wired()
        problems += wiring.problems
        around = Surroundings(self, tasks, _packages(config), set(self.layouts) - unfit)
        circular = any("calls itself" in problem.message for problem in wiring.problems)
        self.graph = Graph(Wiring() if circular else wiring, around, {})
        self.packages = nn.ModuleDict({key(name): package for name, package in around.built.items() if package})
        self.heads = nn.ModuleList()
        self.plan: list[tuple[dict[str, tuple[str, ...]], tuple[str, ...]]] = []
        for number, head in enumerate(config.heads):
            problems += self._head(number, head, wiring, tasks)
        problems += _tasks(config, tasks)
        problems += around.problems
        if problems:
            raise ConfigError(list(dict.fromkeys(problems)))

    def _head(self, number: int, head: HeadConfig, wiring: Wiring, tasks: Sequence[TaskConfig]) -> Iterator[Problem]:
        """Add a head; gives what is wrong with it."""
        path = f"model.heads.{number}"
        refs = {name: wiring.reads.get(f"{path}.{name}", ()) for name in ("input", "each", "terms")}
        forms = {name: [self.graph.forms.get(ref) for ref in given] for name, given in refs.items()}
        mine = [task for task in tasks if head.tasks is None or task.name in head.tasks]
        if not any(refs.values()):
            yield Problem("needs 'input', 'each' or 'terms': the blocks that it reads", path)
        if refs["input"] and refs["each"]:
            yield Problem("takes either 'input' or 'each'", path)
        if any(form is None for given in forms.values() for form in given) or not mine:
            return
        known: dict[str, list[Form]] = forms  # type: ignore[assignment]
        for ref, shape in zip(refs["terms"], known["terms"], strict=True):
            if shape != (1,):
                text = f"a term is one number per row, (B, 1), but '{ref}' is {told(shape)}"
                yield Problem(
                    f"{text}\nname it under 'input', or make one number of it by linear or sum", f"{path}.terms"
                )
                return
        widths = [joined("vector", known["input"])[0] if refs["input"] else 0]
        if refs["each"]:
            shapes = spread(known["each"])
            if len(shapes) == 1 and len(shapes[0]) > 1:
                shapes = [shapes[0][1:]] * shapes[0][0]
            if len(shapes) != len(mine):
                names = ", ".join(task.name for task in mine)
                yield Problem(f"has {len(shapes)} vectors for {len(mine)} tasks: {names}", f"{path}.each")
                return
            widths = [joined("vector", [shape])[0] for shape in shapes]
        parts = [mine] if len(widths) == 1 else [[task] for task in mine]
        heads = [Head(part, width, len(refs["terms"])) for part, width in zip(parts, widths, strict=True)]  # type: ignore[arg-type]
        self.heads.append(nn.ModuleList(heads))
        self.plan.append((refs, tuple(task.name for task in mine)))

    def picture(self, plan: EmbeddingPlan) -> Picture:
        """Groups, blocks and heads; then each package by itself."""
        blocks = _boxes(self.graph)
        read = {ref for box in blocks for ref in box.reads}
        groups = [group_box(layout, plan) for layout in self.layouts.values()]
        boxes = [*(box for box in groups if box.id in read), *blocks]
        for number, ((refs, names), head) in enumerate(zip(self.plan, self.heads, strict=True)):
            reads = tuple(ref for given in refs.values() for ref in given)
            boxes.append(Box(f"head {number}", ", ".join(names), "head", ("head", weights(head)), reads))
        panels = [Panel("", tuple(boxes))]
        for name, package in self.packages.items():
            assert isinstance(package, Package)
            within = {node.config.group for node in package.graph.nodes if isinstance(node.config, GroupBlockConfig)}
            given = zip(package.inputs, package.given, strict=True)
            inside = [Box(one, one, "group", ("input", told(form))) for one, form in given]
            inside += [group_box(self.layouts[group], plan) for group in sorted(within)]
            inside += _boxes(package.graph)
            inside.append(Box("output", "output", "head", (told(package.shape or ()),), package.output))
            panels.append(Panel(f"package {name}, {weights(package) or 'without weights'}", tuple(inside)))
        return Picture(panels)

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
        for (refs, names), heads in zip(self.plan, self.heads, strict=True):
            assert isinstance(heads, nn.ModuleList)
            terms = [values[ref] for ref in refs["terms"]]
            for index, head in enumerate(heads):
                found = head(_hidden(values, refs, index), *terms)
                own = [names[index]] if len(heads) > 1 else names
                logits |= {own[0]: found["logit"]} if "logit" in found and len(own) == 1 else found
        if len(self.tasks) == 1:
            return {"logit": next(iter(logits.values()))}
        return {task.name: logits[task.name] for task in self.tasks}


def _boxes(graph: Graph) -> list[Box]:
    """The blocks of a graph."""
    found = []
    for node in graph.nodes:
        block, config = graph.blocks[key(node.name)], node.config
        assert isinstance(block, Block)
        read = tuple(ref for refs in node.inputs.values() for ref in refs)
        if isinstance(config, GroupBlockConfig):
            read = (f"group:{config.group}",)
        kind, what = "block", config.type
        if isinstance(config, PackageBlock):
            kind, what = "package", f"package {config.package}"
        for _, inner in config.inner():
            what += f": {times} x {inner.type}" if (times := getattr(config, "times", None)) else f" of {inner.type}"
        lines = (
            what if what != node.name and not (node.inline and what == config.type) else "",
            told(block.shape),
            weights(block),
        )
        title = config.type if node.inline else node.name
        found.append(Box(node.name, title, kind, tuple(line for line in lines if line), read))  # type: ignore[arg-type]
    return found


class _Once(Embedded):
    """Embedded inputs that remember what became of their sequences."""

    def __init__(self, x: Embedded) -> None:
        super().__init__(x.tensors, x.layouts)
        self.encoded: dict[tuple[str, str], Tensor] = {}


def _hidden(values: Mapping[str, Value], refs: Mapping[str, Sequence[str]], index: int) -> Tensor | None:
    """What a head reads: all of `input`, or the element of `each`."""
    if refs["input"]:
        return join("vector", [values[ref] for ref in refs["input"]])  # type: ignore[return-value]
    if not refs["each"]:
        return None
    vectors = spread([values[ref] for ref in refs["each"]])
    one = vectors[0].select(1, index) if len(vectors) == 1 and vectors[0].dim() > 2 else vectors[index]
    return join("vector", [one])  # type: ignore[return-value]


def _both(first: GroupUse, second: GroupUse) -> GroupUse:
    """What two blocks read of a group."""
    return GroupUse(
        fields=first.fields or second.fields,
        first_order=first.first_order or second.first_order,
        equal_dims=first.equal_dims or second.equal_dims,
    )


def _wired(blocks: Sequence[BlockConfig], heads: Sequence[HeadConfig]) -> Wiring:
    """The names of the graph and of its heads."""
    readers = {
        f"model.heads.{number}.{name}": (f"head_{number}__{name}", getattr(head, name))
        for number, head in enumerate(heads)
        for name in ("input", "each", "terms")
    }
    return wire(blocks, "model.blocks", readers)


def _wired_package(package: PackageConfig, number: int) -> Wiring:
    """The names of a package."""
    path = f"model.packages.{number}"
    return wire(package.blocks, f"{path}.blocks", {f"{path}.output": ("output", package.output)}, package.inputs)


def _packages(config: Config) -> dict[str, tuple[Sequence[str], Wiring, Sequence[str]]]:
    found: dict[str, tuple[Sequence[str], Wiring, Sequence[str]]] = {}
    for number, package in enumerate(config.packages):
        wiring = _wired_package(package, number)
        found.setdefault(package.name, (package.inputs, wiring, wiring.reads[f"model.packages.{number}.output"]))
    return found


def _wired_raw(value: Mapping[str, Any]) -> Wiring:
    """The names of a graph some of whose keys are wrong, as far as they can be read."""
    raw, given = value.get("blocks"), value.get("heads")
    blocks = [_read(Choice(BLOCKS).resolve, one, stand_in) for one in raw] if isinstance(raw, list) else []
    read = [_read(HeadConfig.model_validate, one, lambda _: None) for one in given] if isinstance(given, list) else []
    heads = [head if head is not None else HeadConfig() for head in read]
    found = _wired(blocks, heads)
    if not heads or None in read:  # what reads the blocks is not known
        found.problems = [problem for problem in found.problems if "reaches no head" not in problem.message]
    return found


def _read(validate: Any, value: Any, otherwise: Any) -> Any:
    try:
        return validate(value)
    except (ValidationError, PydanticCustomError):
        return otherwise(value)


def _tasks(config: Config, tasks: Sequence[TaskConfig]) -> Iterator[Problem]:
    """Tasks without a head, or with several; heads for no task."""
    names = [task.name for task in tasks]
    for number, head in enumerate(config.heads):
        for index, name in enumerate(head.tasks or []):
            if name not in names:
                text = f"no task is called '{name}'{nearest(name, names)}\nknown: {', '.join(names)}"
                yield Problem(text, f"model.heads.{number}.tasks.{index}")
    headed = list(chain.from_iterable(head.tasks or names for head in config.heads))
    for index, name in enumerate(names):
        where = f"model.tasks.{index}" if config.tasks else "model.heads"
        if name not in headed:
            yield Problem(f"no head predicts the task '{name}'", where)
        elif headed.count(name) > 1:
            yield Problem(
                f"{headed.count(name)} heads predict the task '{name}': say which by their 'tasks'", "model.heads"
            )
