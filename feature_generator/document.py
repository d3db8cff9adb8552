"""Documents: YAML whose every value knows its file and line; bases, overrides, `${ENV}`, repeated names."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from feature_generator.errors import ConfigError, Problem, nearest

Path_: TypeAlias = tuple[str | int, ...]
"""Where a value stands in a document: keys and list positions from the root."""


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
    if "\0" in name:
        raise ConfigError(f"cannot read the file {name!r}: no file's name holds a null character")
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
        below = path.parent / str(base)
        if "\0" not in str(base) and not below.exists():
            missing = document.problem(("base",), f"there is no file {below}")
            raise ConfigError([missing], name)
        lower = _read(below, (*chain, path.resolve()), problems)
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
    try:
        return loader.construct_object(node)
    except (ValueError, LookupError, AttributeError, OverflowError):  # what the parser meets where a tag or a date lies
        kind = node.tag.rpartition(":")[2]
        text = f"'{node.value}' is no {kind}; text that looks like one stands in quotes"
        raise ConfigError([document.problem(path, text)], document.file) from None


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


def read_config(source: str | os.PathLike[str] | Mapping[str, Any], overrides: Sequence[str] | None = None) -> Document:
    """The document of a YAML file, or of its content, with `-o` settings laid over it.

    Raises:
        ConfigError: The file cannot be read, or a setting has no place.
    """
    if not overrides:
        return Document.of(dict(source)) if isinstance(source, Mapping) else read_yaml(source)
    if isinstance(source, Mapping):
        return override(Document({}, _copy(source), {}), list(overrides))
    problems: list[Problem] = []  # a variable that is not set is none where a setting takes its place
    document = _read(Path(source), (), problems)
    if problems:
        raise ConfigError(problems, str(source))
    return override(document, list(overrides))


_WAY = re.compile(r"(?P<way>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*|\[[^\]\n]*\])*): (?P<text>\S.*)", re.DOTALL)
"""The way to a value, as errors begin with it, and what is told of it."""


def placed(error: ConfigError, document: Document) -> ConfigError:
    """An error with its file and line, where its text begins with the way to a value: `train.tables[items]: ...`.

    For what is found wrong only while a config is followed, e.g. that a table lacks a column. Other errors stay as they are.
    """
    (first, *rest) = error.problems
    found = None if rest or first.line or first.where else _WAY.fullmatch(first.message)
    if found is None:
        return error
    value, path = document.data, list[str | int]()
    for step in (name or index for name, index in _STEP.findall(found["way"])):
        if not step:  # a dot
            continue
        key = _row(value, step) if isinstance(value, list) else step
        if key is None or not (isinstance(value, list) or (isinstance(value, Mapping) and key in value)):
            # A key that is left out: the nearest that is there stands for it.
            return ConfigError([document.problem(tuple(path), first.message)], document.file) if path else error
        path.append(key)
        value = value[key]
    return ConfigError([document.problem(tuple(path), found["text"])], document.file)


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
        message = _set(raw, steps, _copy(value), origin, places)  # a later path may lead into it
        if message:
            problems.append(Problem(message, origin))
    if problems:
        raise ConfigError(problems, document.file)
    result = Document(None, raw, places, document.file)
    result.data = _environment(raw, (), result, problems)
    if problems:
        raise ConfigError(problems, document.file)
    return result


def _names_of(rows: list[Any]) -> list[Any]:
    return [row.get("name") if isinstance(row, dict) else None for row in rows]


def _row(rows: list[Any], step: str) -> int | None:
    """The position of an element that is meant by its `name`, or by its position."""
    names = _names_of(rows)
    if step in names:
        return names.index(step)
    return int(step) if step.isdigit() and int(step) < len(rows) else None


def _set(raw: Any, steps: list[str], value: Any, origin: str, places: dict[Path_, tuple[str, int]]) -> str:
    path: Path_ = ()
    node = raw
    for depth, step in enumerate(steps):
        key: str | int = step
        if isinstance(node, list):
            row = _row(node, step)
            if row is None:
                return f"no element '{step}' here{nearest(step, [name for name in _names_of(node) if name])}"
            key = row
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
