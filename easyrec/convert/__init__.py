"""Configs of EasyRec and TorchEasyRec, and pyfg's fg.json, into experiments, with a report of what did not fit.

Nothing of theirs is needed: `text_format` reads protocol buffers as text without their schemas, and what a converter
has not looked at is reported as not carried.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from easyrec.convert import easyrec_config, fg_json, json_text, text_format, tzrec
from easyrec.convert.draft import Draft
from easyrec.convert.message import Field, Message
from easyrec.convert.report import Report
from easyrec.errors import ConfigError, Problem

Kind: TypeAlias = Literal["easyrec", "tzrec", "fg_json"]
NAMES: dict[Kind, str] = {"easyrec": "EasyRec", "tzrec": "TorchEasyRec", "fg_json": "fg.json"}
_CONVERTERS = {"easyrec": easyrec_config.convert, "tzrec": tzrec.convert, "fg_json": fg_json.convert}


MOST_NAMES = 4
"""Names that a message lists."""


@dataclass(frozen=True)
class Converted:
    """An experiment that came from elsewhere.

    Attributes:
        kind: Whose config it was.
        draft: The experiment.
        report: What was not carried, or not quite.
        yaml: The experiment as YAML, with comments where something wants a look.
    """

    kind: Kind
    draft: Draft
    report: Report
    yaml: str


def convert(source: str | os.PathLike[str], kind: Kind | None = None) -> Converted:
    """Convert a config file.

    Args:
        source: Path of a pipeline config in the text format of protocol buffers, or of a fg.json.
        kind: Whose it is; by default what it holds tells.

    Raises:
        ConfigError: The file cannot be read, is not in its format, or is of none of the kinds.
    """
    file = str(source)
    text = _text(file)
    json = kind == "fg_json" if kind else re.match(r"\s*(\{|\[\s*\{)", text) is not None
    root = (json_text if json else text_format).parse(text, file)
    if json and root.has("feature_type", "sequence_name"):  # one feature, as documents show them
        root = Message(root.line, [Field("features", root, root.line)]).place(file)
    if not json and root.names() == ["features"]:  # what stands in EasyRec's feature_config
        root = Message(root.line, [Field("feature_config", root, root.line)]).place(file)
    if kind is None and not json:
        _refuse_pieces(root)
    found = kind or kind_of(root, json=json)
    report = Report()
    draft = _CONVERTERS[found](root, report)
    for text in dict.fromkeys(_variables(draft.plain())):
        report.add("check", root, "", f"{text} is read from the environment here", "set it, or write its value")
    report.finish(root)
    head = [f"From the {NAMES[found]} config {Path(file).name}, by easyrec convert.", *_head(report)]
    return Converted(found, draft, report, draft.to_yaml(report, head))


def kind_of(root: Message, *, json: bool) -> Kind:
    """Whose config it is.

    Raises:
        ConfigError: Nothing tells, or it is of another kind of file.
    """
    if json:
        if root.has("features"):
            return "fg_json"
        raise ConfigError([Problem("a fg.json has a list 'features'", "", root.line, root.file)], root.file)
    inside = {name for f in root.fields if isinstance(f.value, Message) for name in f.value.names()}
    tzrec_marks = inside & {"dataset_type", "sparse_optimizer", "dense_optimizer", "fg_mode"}
    features = [f.value for f in root.fields if f.name == "feature_configs" and isinstance(f.value, Message)]
    if tzrec_marks or any(name.endswith(("_feature", "kv_dot_product")) for m in features for name in m.names()):
        return "tzrec"
    if root.has("feature_config") or inside & {"model_class", "optimizer_config", "input_names", "feature_type"}:
        return "easyrec"
    text = "neither a config of EasyRec nor of TorchEasyRec: it has no feature_configs or feature_config"
    text += f", but {_listed(root)}\n--from says whose it is"
    raise ConfigError([Problem(text, "", root.line, root.file)], root.file)


_PARTS = (
    "data_config",
    "dense_optimizer",
    "eval_config",
    "feature_groups",
    "input_fields",
    "label_fields",
    "loss_type",
    "losses",
    "metrics",
    "model_config",
    "sparse_optimizer",
    "train_config",
    "variational_dropout",
)


def _refuse_pieces(root: Message) -> None:
    """A piece of a config, as documents show it, becomes an experiment if features are in it."""
    if root.has("feature_configs", "feature_config") or not root.has(*_PARTS):
        return
    text = f"a piece of a config: it has {_listed(root)}, and no features, without which there is no experiment"
    todo = "put its feature_configs or feature_config into the same file; --from says whose it is and converts it so"
    raise ConfigError([Problem(f"{text}\n{todo}", "", root.line, root.file)], root.file)


def _listed(root: Message) -> str:
    """The first names of a file."""
    names = root.names()
    return (
        ", ".join(f"'{name}'" for name in names[:MOST_NAMES]) + (", ..." if len(names) > MOST_NAMES else "")
        or "nothing"
    )


def _text(file: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"not UTF-8 text: {error.reason} at byte {error.start}", file) from None
    except OSError as error:
        raise ConfigError(f"cannot read the file: {error.strerror}", file) from None


def _variables(value: Any) -> Iterator[str]:
    """`${NAME}` in any text."""
    if isinstance(value, dict | list):
        for child in value.values() if isinstance(value, dict) else value:
            yield from _variables(child)
    elif isinstance(value, str):
        yield from re.findall(r"\$\{[A-Za-z_]\w*\}", value)


def _head(report: Report) -> list[str]:
    count = sum(entry.kind in ("lost", "changed", "check") for entry in report.entries)
    if not count:
        return []
    subject = "1 setting is" if count == 1 else f"{count} settings are"
    return [f"{subject} not quite what they were: look for 'lost', 'changed' and 'check'."]
