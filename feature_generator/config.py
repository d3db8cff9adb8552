"""Configs: strict models, open families (`Choice`), YAML whose every value knows its line."""

from __future__ import annotations

import importlib
import importlib.util
import os
import pkgutil
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError, model_validator
from pydantic.functional_validators import ModelWrapValidatorHandler
from pydantic_core import InitErrorDetails, PydanticCustomError, core_schema
from typing_extensions import Self

from feature_generator.errors import ConfigError, Problem, nearest

Path_: TypeAlias = tuple[str | int, ...]
"""Where a value stands in a document: keys and list positions from the root."""

M = TypeVar("M", bound=BaseModel)


class StrictModel(BaseModel):
    """A frozen config in which an unknown key is an error that names the nearest known one."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, protected_namespaces=(), use_attribute_docstrings=True, allow_inf_nan=False
    )

    @model_validator(mode="wrap")
    @classmethod
    def _name_unknown_keys(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return handler(value)
        except ValidationError as error:
            known = [f.alias or name for name, f in cls.model_fields.items()]
            details = []
            for item in error.errors(include_url=False):
                kind: Any = PydanticCustomError(item["type"], _text(item))
                if item["type"] == "extra_forbidden" and len(item["loc"]) == 1:
                    key = str(item["loc"][0])
                    text = "unknown key" + (nearest(key, known) or "; known: " + ", ".join(sorted(known)))
                    kind = PydanticCustomError("unknown_key", text)
                details.append(InitErrorDetails(type=kind, loc=item["loc"], input=item["input"]))
            raise ValidationError.from_exception_data(cls.__name__, details) from None


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
    if kind in _WANTED:
        return f"must be a {_WANTED[kind]}" + (f", but is {value!r}" if _is_scalar(value) else "")
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


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float | bool)


# ---------------------------------------------------------------------------------------------- families


_plugged: list[str] = []


def plug(package: str) -> None:
    """Let families find the members of an outside package that is laid out like ours.

    After `plug("acme")` the file `acme/models/x.py` is the model type `x`, `acme/features/y.py` the feature type `y`.
    An installed package needs no `plug` where it names its members as entry points of the family's import name.

    Raises:
        ConfigError: There is no such package.
    """
    if not _exists(package):
        raise ConfigError(f"there is no package '{package}' to plug in")
    if package not in _plugged:
        _plugged.append(package)
        members.cache_clear()


def _exists(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):  # a parent is missing, or the name is no name
        return False


def _files(package: str) -> set[str]:
    """Names of a package's modules that are members: all but those that start with `_`."""
    found = pkgutil.iter_modules(importlib.import_module(package).__path__)
    return {module.name for module in found if not module.name.startswith("_")}


def _homes(package: str) -> list[str]:
    """The packages whose files are members of the family: its own, then those that are plugged in."""
    inside = package.partition(".")[2]
    outside = [f"{plugin}.{inside}" for plugin in _plugged if _exists(f"{plugin}.{inside}")]
    return [package, *outside]


@cache
def members(package: str) -> tuple[str, ...]:
    """Names of a family's members: its files, and those of outside packages, sorted."""
    files = {name for home in _homes(package) for name in _files(home)}
    return tuple(sorted(files | {e.name for e in entry_points(group=package)}))


def member(package: str, name: str) -> ModuleType:
    """The module of the family member `name`; ours win over plugged ones, and those over entry points.

    Raises:
        KeyError: There is no such member.
    """
    if name not in members(package):
        raise KeyError(name)
    for home in _homes(package):
        if name in _files(home):
            return importlib.import_module(f"{home}.{name}")
    (entry,) = entry_points(group=package, name=name)
    loaded: ModuleType = entry.load()
    return loaded


FAMILY = "x-family"
"""Key that stands for a family in the JSON schema of a single config."""


class Choice:
    """Annotation of a config value whose `type` names a file of a family.

    `Annotated[Any, Choice("easyrec.models")]` turns `{type: deepfm, ...}` into the `Config` of
    `easyrec/models/deepfm.py`. A bare string `deepfm` stands for `{type: deepfm}`.

    Args:
        package: Import name of the family; also the entry-point group of outside members.
        default: The type of a mapping that names none.
    """

    def __init__(self, package: str, default: str | None = None) -> None:
        self.package, self.default = package, default

    def resolve(self, value: Any) -> Any:
        """The validated `Config` of the member that `value` names."""
        if isinstance(value, BaseModel):
            return value
        if isinstance(value, str):
            value = {"type": value}
        if not isinstance(value, Mapping):
            raise PydanticCustomError("choice", "must be a mapping with a 'type'")
        kind = value.get("type", self.default)
        known = ", ".join(members(self.package))
        if kind is None:
            raise PydanticCustomError("choice", f"needs a 'type'\nknown: {known}")
        if not isinstance(kind, str) or kind not in members(self.package):
            text = f"unknown type '{kind}'{nearest(str(kind), members(self.package))}\nknown: {known}"
            error = InitErrorDetails(type=PydanticCustomError("choice", text), loc=("type",), input=kind)
            raise ValidationError.from_exception_data("Choice", [error])
        return member(self.package, kind).Config.model_validate({**value, "type": kind})

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self.resolve, serialization=core_schema.plain_serializer_function_ser_schema(_dump)
        )

    def __get_pydantic_json_schema__(self, schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {FAMILY: self.package, "x-default": self.default}  # `feature_generator.schema` resolves it


def _dump(value: Any) -> Any:
    return value.model_dump(mode="json", exclude_unset=True) if isinstance(value, BaseModel) else value


# -------------------------------------------------------------------------------------------------- YAML


class _Loader(yaml.SafeLoader):
    """YAML 1.2's scalars: `1e-3` is a number, `no` and `on` are words."""


_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern)
        for tag, pattern in resolvers
        if tag
        not in (
            "tag:yaml.org,2002:bool",
            "tag:yaml.org,2002:float",
            "tag:yaml.org,2002:timestamp",
            "tag:yaml.org,2002:int",
        )
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"^(?:[-+]?(?:0|[1-9][0-9_]*)|0x[0-9a-fA-F]+)$"), list("-+0123456789")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"^[-+]?(?:[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?|[0-9][0-9_]*[eE][-+]?[0-9]+|\.[0-9]+(?:[eE][-+]?[0-9]+)?|\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$|^\.(?:nan|NaN|NAN)$"
    ),
    list("-+0123456789."),
)


@dataclass
class Document:
    """Plain data of a config, and the file and line of every value in it.

    Attributes:
        data: Mappings, lists and scalars; `${ENV}` already replaced.
        raw: The same with `${ENV}` as written: what may be stored and shown.
        places: (file, line) of each path; lines are 1-based, 0 where there is none.
        file: Main file's name as the user gave it.
        below: The place of this document inside a larger one, as people read it.
    """

    data: Any
    raw: Any
    places: dict[Path_, tuple[str, int]] = field(default_factory=dict)
    file: str = ""
    below: str = ""

    def place(self, path: Path_) -> tuple[str, int]:
        """File and line of the value at `path`, or of the nearest value around it."""
        for end in range(len(path), -1, -1):
            if path[:end] in self.places:
                return self.places[path[:end]]
        return self.file, 0

    def problem(self, path: Path_, message: str) -> Problem:
        """A problem with the value at `path`."""
        file, line = self.place(path)
        return Problem(message, self.describe(path), line, file)

    def describe(self, path: Path_) -> str:
        """The path as people read it: `features[2] 'age_bucket' . boundaries`."""
        text, value = self.below, self.data
        for part in path:
            if isinstance(part, int):
                text += f"[{part}]"
                value = value[part] if isinstance(value, list) and part < len(value) else None
                if isinstance(value, Mapping) and "name" in value:
                    text += f" '{value['name']}'"
            else:
                text += f" . {part}" if text else part
                value = value.get(part) if isinstance(value, Mapping) else None
        return text

    def at(self, path: Path_) -> Document:
        """The document below `path`, with the same places."""
        data, raw = self.data, self.raw
        for part in path:
            data, raw = data[part], raw[part]
        places = {p[len(path) :]: place for p, place in self.places.items() if p[: len(path)] == path}
        return Document(data, raw, places, self.file, self.describe(path))

    @staticmethod
    def of(value: Any, file: str = "") -> Document:
        """A document of plain data that came from no file."""
        if isinstance(value, Document):
            return value
        problems: list[Problem] = []
        document = Document(_copy(value), _copy(value), {}, file)
        document.data = _environment(document.raw, (), document, problems)
        if problems:
            raise ConfigError(problems, file)
        return document


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _copy(v) for k, v in value.items()}
    return [_copy(v) for v in value] if isinstance(value, list | tuple) else value


def read_yaml(path: str | os.PathLike[str]) -> Document:
    """Read a YAML file, its `base:` files merged below it (mappings deep, lists replaced).

    Raises:
        ConfigError: The file is missing, is not YAML, repeats a key, names itself as its base, or uses
            an environment variable that is not set.
    """
    problems: list[Problem] = []
    document = _read(Path(path), (), problems)
    document.data = _environment(document.raw, (), document, problems)
    if problems:
        raise ConfigError(problems, str(path))
    return document


def _read(path: Path, chain: tuple[Path, ...], problems: list[Problem]) -> Document:
    name = str(path)
    if path.resolve() in chain:
        circle = " -> ".join(p.name for p in (*chain, path.resolve()))
        raise ConfigError([Problem(f"'base' files form a circle: {circle}", "base", file=name)], name)
    try:
        loader = _Loader(path.read_text(encoding="utf-8"))
        node = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        text = f"not valid YAML: {error.problem}" + (f" ({error.context})" if error.context else "")
        raise ConfigError([Problem(text, "", line, name)], name) from None
    except yaml.YAMLError as error:
        raise ConfigError(f"not valid YAML: {error}", name) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"not UTF-8 text: {error.reason} at byte {error.start}", name) from None
    except OSError as error:
        raise ConfigError(f"cannot read the file: {error.strerror}", name) from None
    document = Document({}, None, {}, name)
    try:
        document.raw = {} if node is None else _construct(loader, node, (), document, problems)
    except yaml.YAMLError as error:
        raise ConfigError(f"not valid YAML: {error}", name) from None
    if not isinstance(document.raw, dict):
        raise ConfigError([Problem("must be a mapping of sections", "", 1, name)], name)
    base = document.raw.pop("base", None)
    if base is not None:
        lower = _read(path.parent / str(base), (*chain, path.resolve()), problems)
        _merge(lower, document)
        lower.file = name
        return lower
    return document


def _construct(loader: _Loader, node: yaml.Node, path: Path_, document: Document, problems: list[Problem]) -> Any:
    document.places[path] = (document.file, node.start_mark.line + 1)
    if len(path) > 64:
        raise ConfigError([document.problem(path, "is nested more than 64 levels deep")], document.file)
    if isinstance(node, yaml.CollectionNode) and node.tag not in ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"):
        raise ConfigError([document.problem(path, f"a tag has no meaning here: {node.tag}")], document.file)
    if isinstance(node, yaml.MappingNode):
        written = [k.value for k, _ in node.value if isinstance(k, yaml.ScalarNode)]
        loader.flatten_mapping(node)
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise ConfigError([document.problem(path, "keys must be plain words")], document.file)
            key = str(key_node.value)  # a key is text, also where it looks like a number
            line = key_node.start_mark.line + 1
            if key in result and written.count(key) > 1:
                problems.append(Problem("key is given twice", document.describe((*path, key)), line, document.file))
            result[key] = _construct(loader, value_node, (*path, key), document, problems)
            document.places[(*path, key)] = (document.file, line)
        return result
    if isinstance(node, yaml.SequenceNode):
        return [_construct(loader, child, (*path, i), document, problems) for i, child in enumerate(node.value)]
    return loader.construct_object(node)


def _merge(lower: Document, upper: Document) -> None:
    """Lay `upper` over `lower`, in place in `lower`."""

    def lay(below: Any, above: Any, path: Path_) -> Any:
        if (
            isinstance(below, dict)
            and isinstance(above, dict)
            and below.get("type") in (None, above.get("type", below.get("type")))
        ):
            return {**below, **{k: lay(below[k], v, (*path, k)) if k in below else v for k, v in above.items()}}
        for known in [p for p in lower.places if p[: len(path)] == path]:
            del lower.places[known]
        return above

    lower.raw = lay(lower.raw, upper.raw, ())
    lower.places.update(upper.places)


_ENV = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def _environment(value: Any, path: Path_, document: Document, problems: list[Problem]) -> Any:
    """`value` with `${NAME}` in its strings replaced from the environment."""
    if isinstance(value, dict):
        return {k: _environment(v, (*path, k), document, problems) for k, v in value.items()}
    if isinstance(value, list):
        return [_environment(v, (*path, i), document, problems) for i, v in enumerate(value)]
    if not isinstance(value, str) or "${" not in value:
        return value
    unset = [name for name in _ENV.findall(value) if name not in os.environ]
    problems += [document.problem(path, f"environment variable '{name}' is not set") for name in unset]
    return _ENV.sub(lambda match: os.environ.get(match.group(1), ""), value)


_STEP = re.compile(r"([^.\[\]=]+)|\[([^\]]+)\]|\.")


def override(document: Document, settings: Sequence[str] | Mapping[str, Any]) -> Document:
    """The document with `path=value` settings laid over it, as `-o` gives them.

    A path is dotted; `[x]` picks a list element by its `name` or its position: `features[user_id].embedding_dim=32`.
    Values are YAML: `model.hidden=[256,128]`.

    Raises:
        ConfigError: A setting has no `=`, or its path leads through something that is not there.
    """
    pairs = [(k, v, f"-o {k}={v}") for k, v in settings.items()] if isinstance(settings, Mapping) else []
    problems: list[Problem] = []
    for text in settings if not isinstance(settings, Mapping) else ():
        key, sign, value = text.partition("=")
        if not sign:
            problems.append(Problem("must be path=value, e.g. train.epochs=3", f"-o {text}"))
            continue
        try:
            loader = _Loader(value)
            pairs.append((key.strip(), loader.get_single_data(), f"-o {text}"))
        except yaml.YAMLError:
            problems.append(Problem("the value is not valid YAML", f"-o {text}"))
    raw, places = _copy(document.raw), dict(document.places)
    for key, value, origin in pairs:
        steps = [(name or index).strip() for name, index in _STEP.findall(key) if name or index]
        message = _set(raw, steps, value, origin, places)
        if message:
            problems.append(Problem(message, origin))
    if problems:
        raise ConfigError(problems, document.file)
    result = Document(None, raw, places, document.file)
    result.data = _environment(raw, (), result, problems)
    if problems:
        raise ConfigError(problems, document.file)
    return result


def _set(raw: Any, steps: list[str], value: Any, origin: str, places: dict[Path_, tuple[str, int]]) -> str:
    path: Path_ = ()
    node = raw
    for depth, step in enumerate(steps):
        key: str | int = step
        if isinstance(node, list):
            names = [n.get("name") if isinstance(n, dict) else None for n in node]
            if step in names:
                key = names.index(step)
            elif step.isdigit() and int(step) < len(node):
                key = int(step)
            else:
                return f"no element '{step}' here{nearest(step, [n for n in names if n])}"
        elif not isinstance(node, dict):
            return f"'{'.'.join(steps[:depth])}' is a plain value, it holds no '{step}'"
        path = (*path, key)
        if depth == len(steps) - 1:
            node[key] = value
            for known in [p for p in places if p[: len(path)] == path]:
                del places[known]
            places[path] = (origin, 0)
            return ""
        if isinstance(node, dict) and node.get(key) is None:
            node[key] = {}
        node = node[key]
    return "the path is empty"


_RANGE = re.compile(r"^(.*?)(\d+)\s*\.\.\s*\1(\d+)$")


def repeat_names(document: Document) -> Document:
    """A features list with every `names: [int_0 .. int_12]` entry repeated once per name, places kept.

    A range counts up over the trailing number; several ranges and single names may be listed. Where the entry has
    an `expression`, `{name}` in it stands for the name; without one the expression is `feature's own column`.

    Raises:
        ConfigError: An entry has both `name` and `names`, or a range that does not count up.
    """
    if not isinstance(document.data, list):
        return document
    problems: list[Problem] = []
    data: list[Any] = []
    raw: list[Any] = []
    places = {p: place for p, place in document.places.items() if not p}
    for index, (value, written) in enumerate(zip(document.data, document.raw, strict=True)):
        below = {p[1:]: place for p, place in document.places.items() if p and p[0] == index}
        copies = [(value, written)]
        if isinstance(value, dict) and "names" in value:
            if "name" in value:
                problems.append(document.problem((index, "names"), "give either 'name' or 'names'"))
            names = _names(value["names"], index, document, problems)
            copies = [(_named(value, name), _named(written, name)) for name in names]
        for entry, entry_raw in copies:
            places.update({(len(data), *p): place for p, place in below.items()})
            data.append(entry)
            raw.append(entry_raw)
    if problems:
        raise ConfigError(problems, document.file)
    return Document(data, raw, places, document.file, document.below)


def _named(entry: dict[str, Any], name: str) -> dict[str, Any]:
    return {"name": name, **{k: _insert(v, name) for k, v in entry.items() if k not in ("name", "names")}}


def _insert(value: Any, name: str) -> Any:
    if isinstance(value, str):
        return value.replace("{name}", name)
    return [_insert(v, name) for v in value] if isinstance(value, list) else value


def _names(value: Any, index: int, document: Document, problems: list[Problem]) -> list[str]:
    result: list[str] = []
    for text in value if isinstance(value, list) else [value]:
        if ".." not in str(text):
            result.append(str(text))
            continue
        match = _RANGE.match(str(text).strip())
        if match is None or int(match.group(2)) > int(match.group(3)):
            problems.append(
                document.problem((index, "names"), f"'{text}' is no range; a range counts up, e.g. int_0 .. int_12")
            )
            continue
        prefix, first, last = match.groups()
        width = len(first) if first.startswith("0") else 0
        result += [f"{prefix}{n:0{width}d}" for n in range(int(first), int(last) + 1)]
    return result


# -------------------------------------------------------------------------------------------- validation


def problems_of(error: ValidationError, document: Document, path: Path_ = ()) -> list[Problem]:
    """The problems behind a pydantic error on the value at `path`, with their lines."""
    result = []
    for item in error.errors(include_url=False):
        value: Any = document.data
        for part in path:
            value = value[part]
        where: Path_ = path
        loc = list(item["loc"])
        tagged = False
        for depth, part in enumerate(loc):
            if not tagged and isinstance(value, Mapping) and part in (value.get("type"), value.get("by")):
                tagged = True  # the tag of a union, which may be a key as well
                continue
            inside = (isinstance(value, Mapping) and part in value) or (
                isinstance(value, list) and isinstance(part, int)
            )
            if not inside and not (depth == len(loc) - 1 and isinstance(value, Mapping) and part != value.get("type")):
                continue  # the tag of a union, or a step inside a key that pydantic names on its own
            where, tagged = (*where, part), False
            value = value[part] if inside and not (isinstance(value, list) and part >= len(value)) else None  # type: ignore[operator]
        text = _text(item)
        if item["type"] == "extra_forbidden":
            text = "unknown key"
        result.append(document.problem(where, text))
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
