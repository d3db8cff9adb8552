"""The parts of a composed model's config, and all that is wrong with the names in them. Knows no torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Annotated, Any, NamedTuple

from pydantic import Field, ValidationError
from pydantic_core import PydanticCustomError

from easyrec.config.model import NAME, TaskConfig
from easyrec.errors import Problem, nearest
from easyrec.modules.blocks import BLOCKS, AnyBlock, BlockConfig, GroupBlockConfig, Wires, parts
from easyrec.modules.blocks._wiring import Wiring, every, stand_in, wire
from easyrec.modules.blocks.package import Config as PackageBlock
from feature_generator.config import Choice, StrictModel

READS = ("input", "each", "terms")
"""Keys of a head that name blocks."""


class PackageConfig(StrictModel):
    """A graph that blocks of type `package` call, with the same weights each time."""

    name: str
    inputs: list[str] = []
    """Names by which its blocks read what it is called with."""
    blocks: list[AnyBlock] = Field(min_length=1)
    """Its graph, in any order."""
    output: Annotated[Any, Wires()]
    """The block that it gives; several are given as a list."""


class HeadConfig(StrictModel):
    """The last layer: ``z_t = w_t . h + b_t + sum_i a_ti s_i``, see `easyrec.models.Head`."""

    tasks: list[str] | None = Field(None, min_length=1)
    """Names of tasks; omitted: all."""
    input: Annotated[Any, Wires()] = None
    """Blocks that make h, side by side."""
    each: Annotated[Any, Wires()] = None
    """In place of `input`: a list, or fields (B, T, D), with one h for each task, in the order of the tasks."""
    terms: Annotated[Any, Wires()] = None
    """Blocks (B, 1), the scalar terms s."""


class Parts(NamedTuple):
    """What a model is composed of."""

    blocks: Sequence[BlockConfig]
    packages: Sequence[PackageConfig]
    heads: Sequence[HeadConfig]
    groups: Sequence[str]

    def every(self) -> Iterator[tuple[str, BlockConfig]]:
        """All blocks, those of packages and those inside others included, each with its dotted path."""
        listed = [(f"model.blocks.{i}", block) for i, block in enumerate(self.blocks)]
        for number, package in enumerate(self.packages):
            listed += [(f"model.packages.{number}.blocks.{i}", block) for i, block in enumerate(package.blocks)]
            listed += _written(package.output, f"model.packages.{number}.output")
        for number, head in enumerate(self.heads):
            for key in READS:
                listed += _written(getattr(head, key), f"model.heads.{number}.{key}")
        return every(listed)

    def wired(self) -> Wiring:
        """The graph with its names resolved, and all problems with names, those inside packages too."""
        readers = {
            f"model.heads.{number}.{key}": (f"head_{number}__{key}", getattr(head, key))
            for number, head in enumerate(self.heads)
            for key in READS
        }
        found = wire(self.blocks, "model.blocks", readers)
        found.problems += self._names()
        for number in range(len(self.packages)):
            found.problems += self.wired_package(number).problems
        found.problems += self._groups()
        found.problems += self._calls()
        return found

    def wired_package(self, number: int) -> Wiring:
        """A package with its names resolved."""
        path, package = f"model.packages.{number}", self.packages[number]
        return wire(package.blocks, f"{path}.blocks", {f"{path}.output": ("output", package.output)}, package.inputs)

    def graphs(self) -> dict[str, tuple[Sequence[str], Wiring, Sequence[str]]]:
        """Inputs, wiring and output of each package, by name."""
        found: dict[str, tuple[Sequence[str], Wiring, Sequence[str]]] = {}
        for number, package in enumerate(self.packages):
            wiring = self.wired_package(number)
            found.setdefault(package.name, (package.inputs, wiring, wiring.reads[f"model.packages.{number}.output"]))
        return found

    def _names(self) -> Iterator[Problem]:
        """Names of packages and of their inputs that are none, or given twice."""
        seen: set[str] = set()
        for number, package in enumerate(self.packages):
            path = f"model.packages.{number}"
            if package.name in seen:
                text = f"the name '{package.name}' is given twice: call one of the packages otherwise"
                yield Problem(text, f"{path}.name")
            seen.add(package.name)
            given = {f"{path}.name": package.name}
            given |= {f"{path}.inputs.{index}": name for index, name in enumerate(package.inputs)}
            for where, name in given.items():
                if not NAME.match(name) or "__" in name:
                    text = f"must be a plain name of letters, digits and single '_', but is '{name}'"
                    yield Problem(text, where)

    def _groups(self) -> Iterator[Problem]:
        """Blocks that read a group that is not there."""
        for path, block in self.every():
            if isinstance(block, GroupBlockConfig) and block.group not in self.groups:
                hint, known = nearest(block.group, self.groups), ", ".join(self.groups)
                yield Problem(f"no group is called '{block.group}'{hint}\nknown: {known}", f"{path}.group")

    def _calls(self) -> Iterator[Problem]:
        """Calls of packages that are not there, packages that nobody calls, and those that call themselves."""
        names = [package.name for package in self.packages]
        callees: dict[str, list[str]] = {}
        called: set[str] = set()
        for path, block in self.every():
            if not isinstance(block, PackageBlock):
                continue
            called.add(block.package)
            if block.package not in names:
                hint, known = nearest(block.package, names), ", ".join(names) or "none"
                yield Problem(f"no package is called '{block.package}'{hint}\nknown: {known}", f"{path}.package")
            if path.startswith("model.packages."):
                callees.setdefault(names[int(path.split(".")[2])], []).append(block.package)
        for number, name in enumerate(names):
            where = f"model.packages.{number}"
            if name not in called:
                text = f"no block calls the package '{name}'\ncall it by {{type: package, package: {name}}}"
                yield Problem(text, where)
            if name in _below(name, callees):
                text = f"package '{name}' calls itself: take the call out of it, and out of what it calls"
                yield Problem(text, where)

    def untold(self, tasks: Sequence[TaskConfig], listed: bool) -> Iterator[Problem]:
        """Tasks without a head, or with several; heads for tasks that are not there.

        Args:
            tasks: What is predicted.
            listed: Whether the config lists them.
        """
        names = [task.name for task in tasks]
        for number, head in enumerate(self.heads):
            for index, name in enumerate(head.tasks or []):
                if name not in names:
                    text = f"no task is called '{name}'{nearest(name, names)}\nknown: {', '.join(names)}"
                    yield Problem(text, f"model.heads.{number}.tasks.{index}")
        headed = list(chain.from_iterable(head.tasks or names for head in self.heads))
        for index, name in enumerate(names):
            if name not in headed:
                text = f"no head predicts the task '{name}': add a head, or name it under the 'tasks' of one"
                yield Problem(text, f"model.tasks.{index}" if listed else "model.heads")
            elif headed.count(name) > 1:
                text = f"{headed.count(name)} heads predict the task '{name}': say which by their 'tasks'"
                yield Problem(text, "model.heads")


def wired_raw(value: Mapping[str, Any]) -> list[Problem]:
    """What is wrong with the names of a graph some of whose keys are wrong, as far as they can be read."""
    raw, given = value.get("blocks"), value.get("heads")
    blocks = [_read(Choice(BLOCKS).resolve, one, stand_in) for one in raw] if isinstance(raw, list) else []
    read = [_read(HeadConfig.model_validate, one, lambda _: None) for one in given] if isinstance(given, list) else []
    heads = [head if head is not None else HeadConfig() for head in read]
    problems = Parts(blocks, (), heads, ()).wired().problems
    # Groups, packages and what reads a block are not known here.
    unsure = ["no group is called", "no package is called"] + (["reaches no head"] if not heads or None in read else [])
    return [problem for problem in problems if not any(text in problem.message for text in unsure)]


def _read(validate: Any, value: Any, otherwise: Any) -> Any:
    try:
        return validate(value)
    except (ValidationError, PydanticCustomError):
        return otherwise(value)


def _written(value: Any, path: str) -> list[tuple[str, BlockConfig]]:
    """Blocks that are written in place of names."""
    return [(path + suffix, one) for suffix, one in parts(value) if isinstance(one, BlockConfig)]


def _below(name: str, callees: Mapping[str, Sequence[str]]) -> set[str]:
    """All that a package calls, also through others."""
    found, waiting = set[str](), list(callees.get(name, ()))
    while waiting:
        one = waiting.pop()
        waiting += callees.get(one, ()) if one not in found else ()
        found.add(one)
    return found
