"""Models with a tower per group, of both peers."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count
from typing import Any

from easyrec.convert import tasks
from easyrec.convert.groups import Group, over
from easyrec.convert.message import Message
from easyrec.convert.source import Source


def convert(
    source: Source,
    body: Message,
    single: dict[str, Any],
    interests: Iterable[tuple[str, Group, Message]] = (),
    final: str = "final",
) -> dict[str, Any]:
    """`multi_tower`, or where sequences stand beside the towers `multi_tower_din`.

    Args:
        source: The model of the config.
        body: Its own keys.
        single: Its task.
        interests: (name, the sequence and its candidates, the message that says so) of each tower that is an encoder.
        final: The MLP over the towers.
    """
    groups: dict[str, Group] = {}
    mlps: dict[str, dict[str, Any]] = {}
    for tower in body.messages("towers"):
        group, name = source.group(tower.text("input")), tasks.plain_name(tower.text("input"))
        mlp = source.mlp(tower.message(source.layer) or Message())
        if group.features or group.sequences:
            groups[name], mlps[name] = group, mlp
    inside = [name for name, group in groups.items() if any(e["encoder"]["type"] != "pooling" for e in group.sequences)]
    beside = _beside(source, groups, interests)
    if beside and inside:
        why = f"the encoded sequences of these groups stand beside their towers: {', '.join(inside)}"
        source.report.add("changed", body, "", why)
    if source.layer == "dnn" and mlps:
        source.report.add("changed", body, "", "towers do not normalise what they read over the batch first")
    if body.has(final):
        keys = source.mlp(body.message(final))
    else:
        keys = {}
        source.report.add("changed", body, "", "an MLP follows the towers, where the source has none")
    kind = {"type": "multi_tower_din" if beside else "multi_tower"}
    return over({**kind, **keys, **_towers(mlps), **single}, groups, source.known)


def _beside(source: Source, groups: dict[str, Group], interests: Iterable[tuple[str, Group, Message]]) -> bool:
    """Give each sequence to the group that has its candidates, or to a group of its own."""
    found = False
    for name, interest, message in interests:
        if not interest.sequences:
            continue
        found = True
        home = next((group for group in groups.values() if set(interest.features) <= set(group.features)), None)
        if home is not None:
            home.add(interest)
            continue
        if interest.features:
            why = f"no group has all of {', '.join(interest.features)}: these candidates have a tower of their own"
            source.report.add("changed", message, "", why)
        names = (tasks.plain_name(name) if n == 1 else f"{tasks.plain_name(name)}_{n}" for n in count(1))
        groups[next(n for n in names if n not in groups)] = interest
    return found


def _towers(mlps: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """`tower` and, by group, what differs from it."""
    if not mlps:
        return {}
    first = next(iter(mlps.values()))
    others = {name: mlp for name, mlp in mlps.items() if mlp != first}
    return {"tower": first, **({"towers": others} if others else {})}
