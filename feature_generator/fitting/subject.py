"""`Subject`: a feature that learns from data, and what else decides what it learns."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from feature_generator.discretizer import KEYS, IdConfig
from feature_generator.errors import nearest
from feature_generator.features import Source, named_file
from feature_generator.features.sequence import Config as SequenceConfig
from feature_generator.fitting.config import PARTS, FitConfig, Part
from feature_generator.numeric import NumericConfig
from feature_generator.origin import MODEL_KEYS
from feature_generator.planning import SHAPE, Node, Report, flatten, resolve

TEXT_KEYS = ("avg_length", "doc_count", "doc_freq", "doc_freq_file")
"""Keys of a feature that scores texts by the rarity of their words."""


@dataclass(frozen=True)
class Subject:
    """A feature with the key `fit`.

    Attributes:
        node: The feature.
        parts: What it learns.
        reads: Features that it reads, theirs too.
    """

    node: Node
    parts: tuple[Part, ...]
    reads: tuple[Node, ...] = ()

    @property
    def name(self) -> str:
        """Name of the output."""
        return self.node.name

    @property
    def config(self) -> Any:
        """The feature's config."""
        return self.node.config

    @property
    def fit(self) -> FitConfig:
        """What it learns, as configured."""
        fit: FitConfig = self.config.fit
        return fit

    def settings(self, hash_name: str, folder: Path | None) -> dict[str, Any]:
        """Everything in the config that decides what is learned, as plain data.

        Args:
            hash_name: The generator's hash.
            folder: Where relative files are looked up first.
        """
        ignored = {*MODEL_KEYS, "name", "stub_type"}
        if "vocabulary" not in self.parts:
            ignored |= {"default_value"}
        if "boundaries" not in self.parts:  # edges are those of normalised numbers
            ignored |= {"normalizer", "boundaries"}
        found = {"feature": _plain(self.config, folder, ignored)}
        if self.node.group is not None:
            found["sequence"] = self.node.group.model_dump(mode="json", exclude_defaults=True, exclude={"features"})
        if self.reads:
            found["reads"] = {n.name: _plain(n.config, folder, MODEL_KEYS) for n in self.reads} | {"hash": hash_name}
        return found


def _plain(config: Any, folder: Path | None, ignored: Collection[str]) -> dict[str, Any]:
    """Keys that are not the default, files as digests of what they hold."""
    found: dict[str, Any] = {"type": config.type} | config.model_dump(mode="json", exclude_defaults=True)
    for key, name in config.files.items():
        path = named_file(name, folder)
        found[key] = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "missing"
    return {k: v for k, v in found.items() if k not in ignored}


def subjects(features: Sequence[Any], report: Report) -> list[Subject]:
    """The features that have a `fit`; report those that cannot be.

    Args:
        features: All features of a config.
        report: Takes problems.
    """
    nodes = flatten(features, False, report)
    resolve(nodes, report)
    known = {node.name: node for node in nodes}
    found = []
    for node in nodes:
        fit: FitConfig | None = getattr(node.config, "fit", None)
        if fit is None:
            continue
        for key, message in problems(node.config, fit):
            report((*node.path, *key), message)
        reads = _ancestors(node, known)
        for other in reads:
            if getattr(other.config, "fit", None) is not None:
                text = (
                    f"reads '{other.name}', which is still to be fitted itself: fit that one first, in a config without "
                    f"this fit, and write down here what it has learned"
                )
                report((*node.path, "fit"), text)
        found.append(Subject(node, parts_of(node.config, fit), tuple(reads)))
    return found


def _ancestors(node: Node, known: Mapping[str, Node]) -> list[Node]:
    found: dict[str, Node] = {}
    waiting = [node]
    while waiting:
        for source in waiting.pop().inputs:
            other = known.get(source.name) if source.side == "feature" else None
            if other is not None and other.name not in found and other is not node:
                found[other.name] = other
                waiting.append(other)
    return [found[name] for name in sorted(found)]


def parts_of(config: Any, fit: FitConfig) -> tuple[Part, ...]:
    """What the key asks for; of a feature that scores texts an empty one asks for their statistics."""
    given = tuple(part for part in PARTS if getattr(fit, part) is not None)
    return given or (("doc_freq",) if "doc_freq" in type(config).model_fields else ())


def problems(config: Any, fit: FitConfig) -> list[tuple[tuple[str, ...], str]]:
    """What is wrong with the `fit` of a feature: paths below the feature, and messages."""
    able: list[Part] = ["vocabulary"] if isinstance(config, IdConfig) else []
    able += ["boundaries", "normalizer"] if isinstance(config, NumericConfig) else []
    able += ["doc_freq"] if "doc_freq" in type(config).model_fields else []
    parts = parts_of(config, fit)
    if not parts:
        return [(("fit",), f"says nothing that is to be learned; known here: {', '.join(able)}")]
    found: list[tuple[tuple[str, ...], str]] = []
    for part in parts:
        if part not in able:
            text = f"is nothing that type '{config.type}' learns{nearest(part, able)}; known here: {', '.join(able)}"
            found.append((("fit", part), text))
    if found:
        return found
    if len(parts) > 1 and set(parts) != {"boundaries", "normalizer"}:
        text = f"{' and '.join(parts)} cannot be learned together; only boundaries and normalizer can"
        return [(("fit",), text)]
    clash = {
        "vocabulary": (*KEYS, "default_bucketize_value", "boundaries", "normalizer"),
        "boundaries": ("boundaries", *KEYS),
        "normalizer": ("normalizer", *KEYS),
        "doc_freq": TEXT_KEYS,
    }
    found += [
        ((key,), f"does not go with fit.{part}: what is learned takes its place")
        for part in parts
        for key in clash[part]
        if key in config.model_fields_set and getattr(config, key, None) is not None
    ]
    boundaries = fit.boundaries
    if boundaries is not None and boundaries.method != "tree" and "min_rows" in boundaries.model_fields_set:
        found.append((("fit", "boundaries", "min_rows"), "goes with method: tree"))
    return found


def with_keys(config: Any, keys: Mapping[str, Any]) -> Any:
    """The config without `fit`, with other keys."""
    plain = config.model_dump(mode="json", exclude_unset=True, exclude={"fit"})
    return type(config).model_validate({**plain, "type": config.type, **keys})


def blank(subject: Subject) -> Any:
    """The config as if it had learned next to nothing: what its values are and which kind its output is stay the same."""
    keys: dict[str, Any] = {}
    if "vocabulary" in subject.parts:
        keys = {"vocab_list": ["?"]}
    if "boundaries" in subject.parts:
        keys = {"boundaries": [0.0]}
    if "doc_freq" in subject.parts:
        keys = {"avg_length": 1.0, "doc_count": 1, "doc_freq": {"?": 1}}
    return with_keys(subject.config, keys)


def replaced(features: Sequence[Any], configs: Mapping[str, Any], only: Collection[str] | None = None) -> list[Any]:
    """The features with other configs for some outputs, by name; `only` keeps some outputs, and sequences that have any."""
    found: list[Any] = []
    for config in features:
        if isinstance(config, SequenceConfig):
            children = [
                configs.get(f"{config.name}__{child.name}", child)
                for child in config.features
                if only is None or f"{config.name}__{child.name}" in only
            ]
            if children:
                found.append(config.model_copy(update={"features": children}))
        elif only is None or config.name in only:
            found.append(configs.get(config.name, config))
    return found


def words_of_titles(subject: Subject) -> tuple[dict[str, Any], bool]:
    """An `id` feature whose values are the words of the texts that `subject` scores.

    Returns:
        Its config as plain data, and whether it stands where `subject` does: in a sequence beside which the title
        stands once per row, it stands outside.
    """
    config, node = subject.config, subject.node
    position = next(i for i, source in enumerate(config.sources) if source == Source.of(config.title))
    plain: dict[str, Any] = {"type": "id", "name": config.name, "expression": config.title, "vocab_list": ["?"]}
    plain |= {"separator": config.separator, "value_dim": 0}
    inside = node.inputs[position].sequence
    if inside and node.group is None:
        kept = config.model_dump(mode="json", exclude_unset=True, include=set(SHAPE) - {"empty"})
        plain |= kept | {"sequence_fields": [Source.of(config.title).name]}
    if not inside:
        plain["name"] = node.name
    return plain, inside or node.group is None
