"""Configs: strict models, open families (`Choice`), and their errors with the lines of the document."""

from __future__ import annotations

import importlib
import os
import pkgutil
import re
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from functools import cache
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any, ClassVar, NamedTuple, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationError,
    model_validator,
)
from pydantic.functional_validators import ModelWrapValidatorHandler
from pydantic_core import InitErrorDetails, PydanticCustomError, core_schema
from typing_extensions import Self

from feature_generator import plugins
from feature_generator.document import Document, Path_, override, read_config, read_yaml, repeat_names
from feature_generator.errors import ConfigError, Problem, nearest
from feature_generator.numbers_only import flags_in

__all__ = [
    "FAMILY",
    "Choice",
    "Document",
    "Path_",
    "StrictModel",
    "fault",
    "member",
    "members",
    "override",
    "plug",
    "problems_of",
    "read_config",
    "read_yaml",
    "repeat_names",
    "validate",
    "worded",
]

M = TypeVar("M", bound=BaseModel)


class StrictModel(BaseModel):
    """A frozen config in which an unknown key is an error that names the nearest known one, and `true` is no number.

    Attributes:
        foreign: Keys that others call something by, and what to do with them here.
        family: Import name of the family whose members' configs derive from this one.
    """

    foreign: ClassVar[Mapping[str, str]] = {}
    family: ClassVar[str | None] = None

    model_config = ConfigDict(
        extra="forbid", frozen=True, protected_namespaces=(), use_attribute_docstrings=True, allow_inf_nan=False
    )

    @model_validator(mode="wrap")
    @classmethod
    def _name_unknown_keys(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        flags = [
            InitErrorDetails(type=PydanticCustomError("flag", f"must be a number, but is {flag}"), loc=loc, input=flag)
            for loc, flag in flags_in(cls, value)
        ]
        hide = bool(cls.model_config.get("hide_input_in_errors"))
        try:
            made = handler(value)
        except ValidationError as error:
            known = [f.alias or name for name, f in cls.model_fields.items()]
            details = []
            for item in error.errors(include_url=False):
                kind: Any = PydanticCustomError(item["type"], _text(item))
                if item["type"] == "extra_forbidden" and len(item["loc"]) == 1:
                    key = str(item["loc"][0])
                    told = f"; {cls.foreign[key]}" if key in cls.foreign else nearest(key, known)
                    text = "unknown key" + (told or "; known: " + ", ".join(sorted(known)))
                    kind = PydanticCustomError("unknown_key", text)
                details.append(InitErrorDetails(type=kind, loc=item["loc"], input=item["input"]))
            placed = {detail["loc"] for detail in details}
            details += [flag for flag in flags if flag["loc"] not in placed]
            raise ValidationError.from_exception_data(cls.__name__, details, hide_input=hide) from None
        if flags:
            raise ValidationError.from_exception_data(cls.__name__, flags, hide_input=hide)
        return made


def _text(item: Any) -> str:
    """The message of one pydantic error in our words; our own messages pass unchanged."""
    value, kind = item["input"], item["type"]
    if kind == "value_error":
        return str(item["msg"]).removeprefix("Value error, ")
    if kind == "missing":
        return "this key is required"
    if kind == "union_tag_invalid" and "ctx" in item:  # an outer model meets it again in our words
        known = [t.strip(" '") for t in item["ctx"]["expected_tags"].split(",")]
        tag = item["ctx"]["tag"]
        return f"unknown type '{tag}'{nearest(tag, known)}\nknown: {', '.join(sorted(known))}"
    if kind in ("too_short", "string_too_short") and "ctx" in item:
        least, of = item["ctx"]["min_length"], "item" if kind == "too_short" else "character"
        return f"must have at least {least} {of}{'s' * (least != 1)}, but has {len(value)}"
    if kind in ("too_long", "string_too_long") and "ctx" in item:
        most, of = item["ctx"]["max_length"], "item" if kind == "too_long" else "character"
        return f"must have at most {most} {of}{'s' * (most != 1)}, but has {len(value)}"
    if kind == "string_pattern_mismatch" and item.get("ctx", {}).get("pattern") in _SAID:
        return f"must be {_SAID[item['ctx']['pattern']]}, but is {value!r}"
    if kind in _WANTED:
        kinds = {"a mapping": Mapping, "a list": list | tuple}
        shown = repr(value) if _is_scalar(value) else next((n for n, k in kinds.items() if isinstance(value, k)), "")
        written = f"\nwrite {{type: {value}}}" if kind == "model_attributes_type" and isinstance(value, str) else ""
        return f"must be a {_WANTED[kind]}" + (f", but is {shown}" if shown else "") + written
    if not str(item["msg"]).startswith("Input should"):
        return str(item["msg"])
    text = str(item["msg"]).replace("Input should be", "must be").replace("Input should", "must")
    return f"{text}, but is {value!r}" if _is_scalar(value) else text


_WANTED = {
    "int_type": "whole number",
    "int_parsing": "whole number",
    "int_from_float": "whole number",
    "float_type": "number",
    "float_parsing": "number",
    "bool_type": "truth value",
    "bool_parsing": "truth value",
    "string_type": "text",
    "list_type": "list",
    "tuple_type": "list",
    "dict_type": "mapping",
    "model_type": "mapping",
    "model_attributes_type": "mapping",
}
"""What a value must be, by the kind of pydantic's error."""
PLAIN = r"^[A-Za-z_][A-Za-z0-9_]*$"
"""What may name tasks and sequences of a group."""
UNBROKEN = r"^[^\s:]+$"
"""What may name features."""
_SAID = {PLAIN: "a plain name of letters, digits and '_'", UNBROKEN: "a name without blanks and ':'"}


def worded(pattern: str, wanted: str, *, shown: bool = True) -> AfterValidator:
    """Annotation of a text that a pattern describes to programs, and words to people.

    Args:
        pattern: What is searched for in it.
        wanted: What is said of it: "must ...".
        shown: Whether the text may be told; not where it may hold a secret.
    """

    def check(value: str) -> str:
        if re.search(pattern, value) is None:
            raise ValueError(f"{wanted}, but is {value!r}" if shown else wanted)
        return value

    return AfterValidator(check)


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float | bool)


# ---------------------------------------------------------------------------------------------- families


def plug(plugin: str | os.PathLike[str]) -> None:
    """Let families find members from outside: those of a package that is laid out like ours, or that of one file.

    After `plug("acme")` the file `acme/models/x.py` is the model type `x`, `acme/features/y.py` the feature type `y`,
    `acme/operators/z.py` the operator `Z` of `custom` features. After `plug("my_model.py")` that file is the type
    `my_model` of the family whose base config its `Config` derives from. A file that has changed is run again.
    An installed package needs no `plug` where it names its members as entry points of the family's import name.

    Raises:
        ConfigError: There is no such package or file, or the file is no member of a family.
    """
    if plugins.is_file(plugin):
        plugins.add_file(plugin, members)
    else:
        plugins.add_package(str(plugin))
    members.cache_clear()
    _home.cache_clear()


def _files(package: str) -> set[str]:
    """Names of a package's modules that are members: all files but those that start with `_`."""
    found = pkgutil.iter_modules(importlib.import_module(package).__path__)
    return {module.name for module in found if not module.ispkg and not module.name.startswith("_")}


def _homes(package: str) -> list[str]:
    """The packages whose files are members of the family: its own, then those that are plugged in."""
    inside = package.partition(".")[2]
    outside = [f"{plugin}.{inside}" for plugin in plugins.packages if plugins.exists(f"{plugin}.{inside}")]
    return [package, *outside]


@cache
def members(package: str) -> tuple[str, ...]:
    """Names of a family's members: its files, those of outside packages, and single files, sorted."""
    files = {name for home in _homes(package) for name in _files(home)}
    files |= {name for family, name in plugins.files if family == package}
    return tuple(sorted(files | {e.name for e in entry_points(group=package)}))


@cache
def _home(package: str, name: str, known: tuple[str, ...]) -> str | None:
    """The package that has the file of a member; remembered, since folders are not to be read at each call, for what is `known`."""
    assert name in known
    return next((home for home in _homes(package) if name in _files(home)), None)


def member(package: str, name: str) -> ModuleType:
    """The module of the family member `name`; ours win over plugged ones, and those over entry points.

    Raises:
        KeyError: There is no such member.
    """
    known = members(package)
    if name not in known:
        raise KeyError(name)
    home = _home(package, name, known)
    if home is not None:
        return importlib.import_module(f"{home}.{name}")
    if (package, name) in plugins.files:
        return plugins.files[package, name].module
    (entry,) = entry_points(group=package, name=name)
    loaded: ModuleType = entry.load()
    return loaded


def homes_of(packages: Sequence[str]) -> dict[str, str]:
    """The members of some families, sorted, each with the first family that has it."""
    found = {name: package for package in reversed(packages) for name in members(package)}
    return dict(sorted(found.items()))


FAMILY = "x-family"
"""Key that stands for families in the JSON schema of a single config."""


class Choice:
    """Annotation of a config value whose `type` names a file of a family.

    `Annotated[Any, Choice("easyrec.models")]` turns `{type: deepfm, ...}` into the `Config` of
    `easyrec/models/deepfm.py`. A bare string `deepfm` stands for `{type: deepfm}`.

    Args:
        package: Import name of the family; also the entry-point group of outside members.
        default: The type of a mapping that names none.
        beside: Families whose members may stand there too; where two have a type of one name, the first is meant.
    """

    def __init__(self, package: str, default: str | None = None, *, beside: tuple[str, ...] = ()) -> None:
        self.packages, self.default = (package, *beside), default

    def resolve(self, value: Any) -> Any:
        """The validated `Config` of the member that `value` names."""
        if isinstance(value, BaseModel):
            return value
        if isinstance(value, str):
            value = {"type": value}
        if not isinstance(value, Mapping):
            raise PydanticCustomError("choice", "must be a mapping with a 'type'")
        kind = value.get("type", self.default)
        homes = homes_of(self.packages)
        known = ", ".join(homes)
        if kind is None:
            raise PydanticCustomError("choice", f"needs a 'type'\nknown: {known}")
        if not isinstance(kind, str) or kind not in homes:
            near = _counted(str(kind), homes) or nearest(str(kind), list(homes))
            text = f"unknown type '{kind}'{near}\nknown: {known}"
            typo = get_close_matches(str(kind), list(homes), n=1, cutoff=0.8)
            text += "" if typo else "\none from a file or package of yours: --plugin FILE.py, plugins=[...]"
            error = InitErrorDetails(type=PydanticCustomError("choice", text), loc=("type",), input=kind)
            raise ValidationError.from_exception_data("Choice", [error])
        return member(homes[kind], kind).Config.model_validate({**value, "type": kind})

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self.resolve, serialization=core_schema.plain_serializer_function_ser_schema(_dump)
        )

    def __get_pydantic_json_schema__(self, schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {FAMILY: list(self.packages), "x-default": self.default}  # `feature_generator.schema` resolves it


def _counted(kind: str, known: Container[str]) -> str:
    """How `recall@10`, a metric as it is reported, is written."""
    name, _, k = kind.partition("@")
    found = [one for one in (f"{name}_at", name) if k.isdigit() and one in known]
    return f"; write {{type: {found[0]}, k: {k}}}" if found else ""


def _dump(value: Any) -> Any:
    return value.model_dump(mode="json", exclude_unset=True) if isinstance(value, BaseModel) else value


def fault(text: str, *keys: str | int) -> ValidationError:
    """What a validator of a whole section raises about one of its keys, so that it is told at the key's line.

    Args:
        text: What is wrong, and the remedy.
        keys: The key, or the way to it.
    """
    return faults([(text, keys)])


def faults(found: Iterable[tuple[str, tuple[str | int, ...]]]) -> ValidationError:
    """The same of several keys, so that all are told at once.

    Args:
        found: What is wrong, and the way to the key; there is one at least.
    """
    details = [
        InitErrorDetails(type=PydanticCustomError("fault", "{text}", {"text": text}), loc=keys, input=None)
        for text, keys in found
    ]
    return ValidationError.from_exception_data("fault", details)


# -------------------------------------------------------------------------------------------- validation


def problems_of(error: ValidationError, document: Document, path: Path_ = ()) -> list[Problem]:
    """The problems behind a pydantic error on the value at `path`, with their lines."""
    found: list[_Found] = []
    for item in error.errors(include_url=False):
        value: Any = document.data
        for part in path:
            value = value[part]
        where: Path_ = path
        loc = list(item["loc"])
        tags: list[tuple[Path_, str]] = []
        tagged = False
        for depth, part in enumerate(loc):
            if not tagged and _is_tag(value, part, loc[depth + 1 :]):
                tagged = True
                continue
            inside = (isinstance(value, Mapping) and part in value) or (
                isinstance(value, list) and isinstance(part, int)
            )
            absent = depth == len(loc) - 1 and isinstance(value, Mapping) and item["type"] not in _OF_A_VALUE
            if not inside and not (absent and part != value.get("type")):
                tags.append((where, str(part)))
                continue  # the tag of a union, or a step inside a key that pydantic names on its own
            where, tagged = (*where, part), False
            value = value[part] if inside and not (isinstance(value, list) and part >= len(value)) else None  # type: ignore[operator]
        text = _text(item)
        if item["type"] == "extra_forbidden":
            text = "unknown key"
        if item["type"] == "missing" and loc and (not where or where[-1] != loc[-1]):
            text = f"needs the key '{loc[-1]}'" + (
                f": {{type: {value}, {loc[-1]}: ...}}" if isinstance(value, str) else ""
            )
        found.append(_Found(document.problem(where, text), item["type"], where, tuple(tags)))
    return _united(_meant(found))


def _is_tag(value: Any, part: str | int, rest: Sequence[str | int]) -> bool:
    """Whether a step of an error's place is the tag of a union rather than a key, which may have the same name."""
    if not isinstance(value, Mapping) or part not in (value.get("type"), value.get("by")):
        return False
    within = value.get(part)
    return not (isinstance(within, Mapping | list) and rest and rest[0] not in value)


_KINDS = {*_WANTED, "literal_error"}
"""Errors that say what a value is not: the other alternatives of a union have them too."""
_OF_A_VALUE = {*_KINDS, "value_error"}
"""Errors of the value itself, whose last step is never a key that is absent."""


class _Found(NamedTuple):
    """A problem with the kind of pydantic's error, its place, and the alternatives of unions on the way to it."""

    problem: Problem
    kind: str
    where: Path_
    tags: tuple[tuple[Path_, str], ...]


def _meant(found: Sequence[_Found]) -> list[_Found]:
    """Without the mappings of a union that were not meant: those that know fewer of the keys, or lack more."""
    strange: dict[Path_, dict[str, list[int]]] = {}
    for one in found:
        for where, tag in one.tags:
            if one.kind not in _KINDS or one.where != where:
                counts = strange.setdefault(where, {}).setdefault(tag, [0, 0])
                counts[0] += one.kind in ("unknown_key", "extra_forbidden") and one.where[:-1] == where
                counts[1] += 1
    meant = {where: min(tags, key=tags.__getitem__) for where, tags in strange.items()}
    return [
        one
        for one in found
        if all(tag == meant.get(where) or tag not in strange.get(where, {}) for where, tag in one.tags)
    ]


def _united(found: Sequence[_Found]) -> list[Problem]:
    """The problems; a value that is none of a union's alternatives is told of once."""
    places: dict[str, list[_Found]] = {}
    for one in found:
        places.setdefault(one.problem.where, []).append(one)
    result = []
    for where, here in places.items():
        told = [one.problem for one in here if one.kind not in _KINDS]
        inside = any(other.startswith((f"{where}[", f"{where} . ")) for other in places)
        if not told and not inside:
            first, *rest = dict.fromkeys(one.problem.message for one in here if one.kind in _KINDS)
            wanted, but, value = first.partition(", but is ")
            others = [message.partition(", but is ")[0].removeprefix("must be ") for message in rest]
            message = " or ".join([wanted.replace(" or ", ", ") if others else wanted, *others]) + but + value
            told = [replace(here[0].problem, message=message)]
        result += told  # what is wrong with the alternative that was meant, else what was wanted
    return result


def validate(model: type[M], document: Document) -> M:
    """The document as a `model`.

    Raises:
        ConfigError: All problems of the document, each with its file and line.
    """
    try:
        return model.model_validate(document.data)
    except ValidationError as error:
        problems = sorted(problems_of(error, document), key=lambda p: (p.file, p.line))
        raise ConfigError(problems, document.file) from None
