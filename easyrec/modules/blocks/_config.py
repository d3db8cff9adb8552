"""What the configs of blocks share. In a file of its own: the members `list`, `map`, `max` hide these words in the package."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import BaseModel, GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError, core_schema

from easyrec.config.model import GroupUse
from feature_generator.config import FAMILY, Choice, StrictModel

BLOCKS = "easyrec.modules.blocks"
"""Import name of the family."""

AnyBlock: TypeAlias = Annotated[Any, Choice(BLOCKS)]
"""The config of any block."""

Takes: TypeAlias = Literal["vector", "fields", "tensor", "tensors"]
"""How a block wants what a key of it names.

- `vector`: (B, W); several inputs lie side by side, fields are laid flat.
- `fields`: (B, F, D); several inputs lie one after another.
- `tensor`: one tensor of any shape.
- `tensors`: any number of tensors, as they are; the elements of a list count one by one.
"""


class BlockConfig(StrictModel):
    """What every block's config has.

    Attributes:
        takes: Keys that name inputs, and how the block wants them.
        optional: Those among them that may be left out; `forward` gets None then.
    """

    family: ClassVar[str | None] = "easyrec.modules.blocks"
    takes: ClassVar[Mapping[str, Takes]] = {}
    optional: ClassVar[frozenset[str]] = frozenset()

    type: str
    name: str | None = None
    """What other blocks call it."""

    def use(self) -> tuple[str, GroupUse] | None:
        """The feature group that the block reads, and what of it."""
        return None

    def inner(self) -> Iterator[tuple[str, BlockConfig]]:
        """Blocks that are written inside this one, by the key that holds them; inputs written in place are not."""
        yield from ()


class GroupBlockConfig(BlockConfig):
    """What the config of a block has that reads a feature group."""

    group: str = "deep"
    """Name of the feature group."""


class Wires:
    """Annotation of an input: a block's name, a block written in place, or a list of these."""

    def resolve(self, value: Any) -> Any:
        """Names as they are, mappings as the configs of blocks."""
        if isinstance(value, list):
            found, errors = [], list[InitErrorDetails]()
            for index, item in enumerate(value):
                try:
                    found.append(self._one(item))
                except ValidationError as error:  # noqa: PERF203 (all that is wrong, in one report)
                    errors += [
                        InitErrorDetails(
                            type=PydanticCustomError(e["type"], e["msg"]),
                            loc=(index, *e["loc"]),
                            input=e["input"],
                        )
                        for e in error.errors(include_url=False)
                    ]
                except PydanticCustomError as error:
                    errors.append(InitErrorDetails(type=error, loc=(index,), input=item))
            if errors:
                raise ValidationError.from_exception_data("Wires", errors)
            return found
        return self._one(value)

    def _one(self, value: Any) -> Any:
        if isinstance(value, str):
            return value
        if isinstance(value, Mapping | BlockConfig):
            return Choice(BLOCKS).resolve(value)
        raise PydanticCustomError("wires", "must be a block's name, a block, or a list of these")

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self.resolve, serialization=core_schema.plain_serializer_function_ser_schema(_dump)
        )

    def __get_pydantic_json_schema__(self, schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        block = {FAMILY: [BLOCKS], "x-default": None}
        one = {"anyOf": [{"type": "string"}, {"allOf": [block, {"type": "object"}]}]}
        return {"anyOf": [*one["anyOf"], {"type": "array", "items": one}]}


def _dump(value: Any) -> Any:
    if isinstance(value, list):
        return [_dump(item) for item in value]
    return value.model_dump(mode="json", exclude_unset=True) if isinstance(value, BaseModel) else value


class LayerConfig(BlockConfig):
    """What the config of a block has that reads other blocks."""

    takes: ClassVar[Mapping[str, Takes]] = {"input": "vector"}

    input: Annotated[Any, Wires()] = None
    """Blocks to read: a name, a block written in place, or a list of these."""


def parts(value: Any) -> list[tuple[str, str | BlockConfig]]:
    """The inputs that a key names, each with what follows the key in its dotted path."""
    if isinstance(value, list):
        return [(f".{index}", item) for index, item in enumerate(value)]
    return [] if value is None else [("", value)]
