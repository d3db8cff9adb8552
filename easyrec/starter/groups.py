"""The groups of a first config: which features a model reads together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from easyrec.config.model import GroupUse
from easyrec.errors import ConfigError, Problem
from easyrec.starter.keys import comment, flow, keys_of
from easyrec.starter.rows import Rows
from feature_generator.config import member


def groups_of(model: str, uses: Mapping[str, GroupUse], rows: Rows) -> dict[str, Any]:
    """The groups that the model reads, by what each is about; one that is like another is left to its default.

    Groups that are alike divide the features; an optional group beside them holds those that no other has.

    Raises:
        ConfigError: The model needs a sequence, and the data have none.
    """
    found: dict[str, Any] = {}
    for name, use in uses.items():
        if use.like in uses and use.like != name and not use.sequence:
            continue
        if use.alone or (use.codes and use.about == "item"):  # known by its id alone
            every = [candidate for candidates in rows.sequences.values() for candidate in candidates]
            items = every if use.about == "item" else []
            found[name] = [*items, *(n for n in _features(use, rows) if n not in rows.numbers)][:1]
            continue
        alike = [other for other, theirs in uses.items() if theirs == use]
        features = _features(use, rows) if len(alike) == 1 else _share(use, rows, alike.index(name), len(alike))
        if not use.sequence:
            found[name] = features
            continue
        if not rows.sequences:
            text = f"'{model}' needs a sequence in its group '{name}', but no column of the data holds lists"
            raise ConfigError([Problem(text, "--data")])
        sequence, candidates = max(rows.sequences.items(), key=lambda pair: len(pair[1]))  # one with a candidate
        if not use.codes:
            features = [*features, *(candidate for candidate in candidates if candidate not in features)]
        found[name] = {"features": features, "sequences": [{"sequence": sequence}]}
    for name, use in uses.items():
        if use.optional and not use.own and use.about == "all" and not use.sequence and {name} < found.keys():
            others = {feature for other, group in found.items() if other != name for feature in _listed(group)}
            found[name] = [feature for feature in found[name] if feature not in others] or found[name]
    return found


def _features(use: GroupUse, rows: Rows) -> list[str]:
    every = rows.names()
    chosen = {"all": every, "user": rows.names("user"), "item": rows.names("item"), "domain": rows.domain}[use.about]
    if use.fields or use.first_order:  # numbers alone are no fields
        return chosen if set(chosen) - rows.numbers else every
    return chosen or every


def _listed(group: Any) -> list[str]:
    features: list[str] = group["features"] if isinstance(group, Mapping) else group
    return features


def _share(use: GroupUse, rows: Rows, index: int, count: int) -> list[str]:
    """What the one of so many groups that are alike gets: an id of a side, or its part of the features."""
    features = _features(use, rows)
    ids = [name for name in features if name not in rows.numbers]
    if use.about == "all":
        firsts = {rows.sides[name]: name for name in reversed(ids)}
        order = [firsts[side] for side in ("user", "item", "context") if side in firsts]
        return [order[index % len(order)]] if order else features
    if len(ids) < count:
        return features
    start, stop = (-(-len(ids) * number // count) for number in (index, index + 1))
    numbers = [name for name in features if name in rows.numbers]
    return [*ids[start:stop], *(numbers if index == count - 1 else [])]


def group_lines(name: str, group: Any, encoder: str | None) -> Iterator[str]:
    """A group as YAML; under its sequence stand, as comments, the keys of the encoder that it has.

    Args:
        name: The group's name.
        group: The group.
        encoder: Type of the encoder of sequences that name none; None: the model encodes them itself.
    """
    if not isinstance(group, Mapping):
        yield f"    {name}: {flow(group)}"
        return
    yield f"    {name}:"
    yield f"      features: {flow(group['features'])}"
    yield "      sequences:"
    for entry in group["sequences"]:
        yield f"        - sequence: {entry['sequence']}"
        if encoder is None:
            continue
        yield from comment(f"How it becomes a vector; omitted: {encoder}, as it stands here.", 10)
        yield "          # encoder:"
        yield f"          #   type: {encoder}"
        config = member("easyrec.modules.sequence", encoder).Config
        for line in keys_of(config, {}, 12, {"type": encoder}):
            yield f"{line[:10]}# {line[10:]}"
