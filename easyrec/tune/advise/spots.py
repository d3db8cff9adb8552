"""Where a feature's keys are written, and how an override reaches them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from easyrec.config import Experiment
from feature_generator.config import Document, Path_, repeat_names


@dataclass(frozen=True)
class Spot:
    """An entry of the features.

    Attributes:
        prefix: The entry, as an override names it.
        path: Its place among the features of the generator, whose names are repeated.
        outputs: What it makes; several where `names` repeats it.
    """

    prefix: str
    path: Path_
    outputs: tuple[str, ...]

    def key(self, name: str) -> str:
        """One of its keys, as an override names it."""
        return f"{self.prefix}.{name}"


def spots(experiment: Experiment) -> dict[str, Spot]:
    """The entry of each output."""
    listed = experiment.document.raw.get("features")
    written = listed if isinstance(listed, list) else experiment.features.raw["features"]
    found: dict[str, Spot] = {}
    place = 0  # among the repeated ones
    for index, entry in enumerate(written):
        repeated = repeat_names(Document.of([entry])).raw
        names = [str(one.get("name")) for one in repeated]
        prefix = f"features[{names[0]}]" if "name" in entry else f"features[{index}]"
        if isinstance(entry.get("features"), list):
            for number, child in enumerate(entry["features"]):
                output = f"{names[0]}__{child.get('name')}"
                path: Path_ = ("features", place, "features", number)
                found[output] = Spot(f"{prefix}.features[{child.get('name')}]", path, (output,))
        else:
            for step, name in enumerate(names):
                found[name] = Spot(prefix, ("features", place + step), tuple(names))
        place += len(names)
    return found


def without(experiment: Experiment, spots: Mapping[str, Spot], output: str) -> dict[str, Any]:
    """Settings that leave a feature out: it becomes an intermediate, and groups name it no longer.

    Empty where its entry makes other features too, or it is a part of a sequence.
    """
    spot = spots[output]
    if len(spot.outputs) > 1 or len(spot.path) > 2:
        return {}
    return {spot.key("stub_type"): True, **dict(_groups_without(experiment, output))}


def _groups_without(experiment: Experiment, output: str) -> Iterator[tuple[str, list[str]]]:
    groups = (experiment.document.raw.get("model") or {}).get("groups") or {}
    for name, group in groups.items():
        listed = group.get("features") if isinstance(group, Mapping) else group
        if isinstance(listed, list) and output in listed:
            end = ".features" if isinstance(group, Mapping) else ""
            yield f"model.groups.{name}{end}", [one for one in listed if one != output]
