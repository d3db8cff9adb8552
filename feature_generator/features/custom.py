"""`custom`: what an operator makes of some columns - a built-in one, one of a plugged package, or a compiled one."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeAlias

import pyarrow as pa
from pydantic import Field, ValidationError
from typing_extensions import override

from feature_generator import libraries
from feature_generator.config import Document, member, members, problems_of
from feature_generator.errors import nearest
from feature_generator.features import Operator, Sided, Source
from feature_generator.numeric import ValueConfig
from feature_generator.operators import BadParameterError, CustomOperator, class_name, file_name, first_values
from feature_generator.text.lists import flat
from feature_generator.values import as_number, as_text

FAMILY = "feature_generator.operators"
Family: TypeAlias = type[CustomOperator]
SEQUENCE = re.compile(r"(^|_)seq(uence)?(_|$)", re.IGNORECASE)


class Config(ValueConfig):
    """Config of `custom`."""

    single_input: ClassVar[bool] = False

    type: Literal["custom"] = "custom"
    operator_name: str = ""
    """The operator: a built-in one, one of a plugged package, or one of a loaded library."""
    operator_params: dict[str, Any] = Field(default_factory=dict)
    """What the operator needs to know."""
    expression: list[Sided] = Field([], max_length=64)
    """The columns that the operator reads, each as `side:name`, in its order."""
    default_value: str = "0"
    """Value of an element that the operator gives none, as raw text."""

    @override
    def problems(self, encoded: bool) -> list[tuple[str, str]]:
        problems = super().problems(encoded)
        if self.numeric and self.value_dim == 0 and self.boundaries is None and not encoded:
            problems.append(("value_dim", "0, any number of values, goes with ids or boundaries"))
        return problems if encoded else problems + self._operator_problems()

    def _operator_problems(self) -> list[tuple[str, str]]:
        known = sorted({*map(class_name, members(FAMILY)), *libraries.loaded()})
        if not self.operator_name:
            return [("operator_name", f"this key is required; known: {', '.join(known)}")]
        try:
            family = self._family()
        except KeyError:
            text = f"unknown operator '{self.operator_name}'{nearest(self.operator_name, known)}\n"
            text += f"known: {', '.join(known)}\nother operators come with a plugged package (--plugin, plug) or a "
            return [("operator_name", text + "compiled library (--operators, load_operators)")]
        fewest, most = family.inputs
        if not fewest <= len(self.expression) <= most:
            wanted = str(fewest) if fewest == most else f"{fewest} to {most}"
            return [
                ("expression", f"{self.operator_name} needs {wanted} columns, but there are {len(self.expression)}")
            ]
        try:
            self._operator()
        except ValidationError as error:
            places = (".".join(map(str, ("operator_params", *item["loc"]))) for item in error.errors())
            found = problems_of(error, Document.of(self.operator_params))
            return [(place, problem.message) for place, problem in zip(places, found, strict=True)]
        except BadParameterError as error:
            return [(f"operator_params.{error.key}" if error.key else "operator_params", str(error))]
        return []

    def _family(self) -> Family:
        compiled = libraries.loaded().get(self.operator_name)
        if compiled is not None:
            return compiled
        family: Family = member(FAMILY, file_name(self.operator_name)).Operator
        return family

    def _operator(self) -> CustomOperator:
        family = self._family()
        params = family.parameters.model_validate(self.operator_params)
        return family(params, [source.name for source in self.sources])

    @property
    @override
    def dim(self) -> int:
        return 0 if self.value_dim == 0 and self.boundaries is not None else super().dim

    @property
    @override
    def sources(self) -> Sequence[Source]:
        return [Source.of(text) for text in self.expression or [f"item:{self.name}"]]

    @property
    @override
    def named_sequences(self) -> Collection[str]:
        if any(source.side == "item" for source in self.sources):
            return ()
        return {source.name for source in self.sources if SEQUENCE.search(source.name)}

    @override
    def compile(self, default: str, sequence: bool, folder: Path | None = None) -> Operator:
        numbers = self.numbers() if self.numeric else None
        if not self.operator_name:  # of an encoded column
            return Operator("copy", numbers=numbers)
        operator = self._operator()
        native = operator.native()
        if native is not None:
            return Operator(native[0], native[1], numbers=numbers)
        forms = {"text": {"texts": True}, "number": {"numbers": True}, "any": {}}
        return Operator("call", forms[operator.form], _Blocks(operator), numbers=numbers)

    @override
    def reference(self, inputs: list[list[Any]]) -> list[Any]:
        operator = self._operator()
        as_form: Callable[[Any], Any] = {"text": as_text, "number": as_number, "any": lambda value: value}[
            operator.form
        ]
        return operator.reference([[as_form(value) for value in values] for values in inputs])


class _Blocks:
    """An operator in Python as the plan calls it: a block of elements at a time."""

    def __init__(self, operator: CustomOperator) -> None:
        self.operator = operator

    def __call__(self, inputs: list[Any], elements: int) -> Any:
        lists = [_valid(one) for one in inputs]
        return self.operator(*(lists if self.operator.multi_value else map(first_values, lists)))


def _valid(lists: pa.LargeListArray) -> pa.LargeListArray:
    """The same lists, their texts valid UTF-8."""
    if not pa.types.is_large_string(lists.type.value_type):
        return lists
    offsets, texts = flat(lists)
    return pa.LargeListArray.from_arrays(pa.array(offsets), texts)
