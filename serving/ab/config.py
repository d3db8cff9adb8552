"""`experiments.yaml`: domains, layers, experiments and their variants."""

from __future__ import annotations

import datetime
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, field_validator, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError
from typing_extensions import Self

from easyrec.errors import ConfigError, Problem
from feature_generator.config import Document, Path_, StrictModel, override, read_yaml, validate, worded
from feature_generator.expressions import ExpressionError, compile_expression
from serving.ab.buckets import BUCKETS
from serving.ab.guardrail_config import Guardrail
from serving.ab.metric_config import MetricConfig, default_metrics

NAME = worded(
    r"\A[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}\Z", "must be letters, digits, '_', '-' and '.', at most 80 characters"
)
PATH = re.compile(r"[A-Za-z_][\w-]*(\.[\w-]+)*")
_VARIABLE = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*|`([^`]+)`")
Name = Annotated[str, NAME]
Scalar = bool | int | float | str


def _text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Unit = Annotated[str, BeforeValidator(_text), Field(min_length=1, max_length=1024)]
"""A unit's id; a whole number is its decimal text."""


def _instant(value: Any) -> Any:
    """Seconds since 1970 of a date, or of a time with its zone; UTC where it names none."""
    if not isinstance(value, str):
        return value
    try:
        told = datetime.datetime.fromisoformat(value.strip().replace("Z", "+00:00"))
    except ValueError:
        text = f"must be a date or a time such as 2026-03-01 or 2026-03-01T09:00:00+01:00, but is '{value}'"
        raise ValueError(text) from None
    return (told if told.tzinfo else told.replace(tzinfo=datetime.timezone.utc)).timestamp()


Instant = Annotated[float, BeforeValidator(_instant)]


def _range(value: tuple[int, int]) -> tuple[int, int]:
    if value[0] > value[1]:
        raise ValueError(f"must be the first and the last bucket, but {value[0]} lies behind {value[1]}")
    return value


Bucket = Annotated[int, Field(ge=0, lt=BUCKETS)]
Range = Annotated[tuple[Bucket, Bucket], AfterValidator(_range)]
Share = Annotated[float, Field(gt=0.0, le=1.0)]


class Variant(StrictModel):
    """One of the ways that an experiment compares."""

    name: Name
    weight: float = Field(1.0, gt=0.0, le=1e6)
    """Its share of the experiment's units, beside the others' weights."""
    parameters: dict[str, Any] = Field({}, max_length=1000)
    """Values by dotted path below the scene, such as `rank.score`; those of a `control` are usually none."""
    white_list: list[Unit] = Field([], max_length=100_000)
    """Units that get it whatever their buckets and attributes are; the analysis leaves them out."""

    @field_validator("parameters", mode="after")
    @classmethod
    def _paths(cls, value: dict[str, Any]) -> dict[str, Any]:
        wrong = [path for path in value if PATH.fullmatch(path) is None]
        found = [("must be a dotted path such as rank.score", (path,)) for path in wrong]
        for path in value:
            inside = next((other for other in value if path.startswith(f"{other}.")), None)
            if inside is not None:
                found.append((f"lies inside '{inside}', which this variant sets too", (path,)))
        _raise(found)
        return value


class Room(StrictModel):
    """Buckets that something has for itself."""

    name: Name
    share: Share | None = None
    """Share of the buckets. Rooms follow each other in the order of the file. Default of one that is alone: all."""
    buckets: Range | None = None
    """Instead of `share`: the first and the last of its buckets, 0 to 9999. Then nothing else moves it."""


class Experiment(Room):
    """Variants that units of a layer are split among."""

    ramp: float = Field(1.0, ge=0.0, le=1.0)
    """How much of its room takes part. Growing it moves nobody who is in, and nobody of other experiments."""
    variants: list[Variant] = Field(min_length=1, max_length=50)
    control: str | None = None
    """The variant that others are compared with; default: the first."""
    salt: str | None = Field(None, min_length=1, max_length=200)
    """Another one splits the units anew; default: the experiment's name."""
    scene: str | list[str] | None = None
    """The scene, or scenes, that it is for; default: all."""
    where: dict[str, Scalar | list[Scalar]] = Field({}, max_length=50)
    """Attributes of units that take part: a value, or a list of values, for each."""
    when: str | None = None
    """An expression over numeric attributes, such as `age >= 18 && hour < 12`; not where one of them is missing."""
    start: Instant | None = None
    end: Instant | None = None
    state: Literal["running", "stopped"] = "running"
    """One that is stopped keeps its room, but nobody takes part."""
    description: str = ""
    owner: str = ""
    guardrails: list[Guardrail] = Field([], max_length=50)
    """What stops it."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        found: list[tuple[str, Path_]] = []
        if self.share is not None and self.buckets is not None:
            found.append(("says where its units are, and so does 'share': give one of them", ("buckets",)))
        names = [variant.name for variant in self.variants]
        found += [
            (f"two variants are called '{name}'", ("variants", at, "name"))
            for at, name in enumerate(names)
            if name in names[:at]
        ]
        if self.control is not None and self.control not in names:
            found.append((f"there is no variant '{self.control}'; known: {', '.join(names)}", ("control",)))
        if self.start is not None and self.end is not None and self.end <= self.start:
            found.append(("must be later than 'start'", ("end",)))
        if self.when is not None:
            try:
                variables(self.when)
            except ExpressionError as error:
                found.append((str(error), ("when",)))
        held: dict[str, str] = {}
        for at, variant in enumerate(self.variants):
            for one, unit in enumerate(variant.white_list):
                if held.setdefault(unit, variant.name) != variant.name:
                    place = ("variants", at, "white_list", one)
                    found.append((f"'{unit}' is on the list of variant '{held[unit]}' too", place))
        for at, guardrail in enumerate(self.guardrails):
            if guardrail.relative and len(self.variants) == 1:
                found.append(("compares with a control, but there is one variant alone", ("guardrails", at)))
        _raise(found)
        return self

    @property
    def scenes(self) -> frozenset[str] | None:
        """The scenes that it is for; None: all."""
        return None if self.scene is None else frozenset([self.scene] if isinstance(self.scene, str) else self.scene)

    @property
    def baseline(self) -> str:
        """The name of the variant that others are compared with."""
        return self.control or self.variants[0].name

    @property
    def weights(self) -> list[float]:
        """Share of each variant."""
        total = sum(variant.weight for variant in self.variants)
        return [variant.weight / total for variant in self.variants]


class Layer(StrictModel):
    """Experiments of which a unit is in one at most. Layers split units independently of each other."""

    name: Name
    experiments: list[Experiment] = Field(max_length=1000)

    @model_validator(mode="after")
    def _rooms(self) -> Self:
        _raise(list(_room_problems(self.experiments, "experiments")))
        return self


class Domain(Room):
    """A share of the traffic with layers of its own."""

    layers: list[Layer] = Field(max_length=100)


class ExperimentsConfig(StrictModel):
    """`experiments.yaml`."""

    unit: str = Field("user_id", min_length=1)
    """What is split: the key of requests and of the log that holds its id."""
    salt: str = Field("", max_length=200)
    """Another one splits everything anew."""
    state: str | None = Field(None, min_length=1)
    """Folder that says what was stopped at run time; default: `ab_state` beside the file."""
    watch_s: float = Field(1.0, gt=0.0, le=3600.0)
    """How often a process looks whether another one has stopped an experiment."""
    guardrail_every_s: float = Field(10.0, ge=0.0, le=3600.0)
    """How often guardrails are judged; 0: only when asked to."""
    guardrail_window_s: float = Field(600.0, gt=0.0)
    """The last minutes, over which errors and times of requests are judged."""
    layers: list[Layer] = Field([], max_length=100)
    """Of all traffic."""
    domains: list[Domain] = Field([], max_length=100)
    """Instead of `layers`: shares of the traffic with layers of their own."""
    expected_lift: float = Field(0.02, gt=0.0, le=10.0)
    """The lift that experiments look for: sequential tests are tuned to it, and needed samples are told for it."""
    metrics: list[MetricConfig] = Field(default_factory=default_metrics, min_length=1, max_length=200)
    """What the analysis measures."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        found: list[tuple[str, Path_]] = []
        if self.layers and self.domains:
            found.append(("are of all traffic, but 'domains' shares it out: put them into a domain", ("layers",)))
        found += _room_problems(self.domains, "domains")
        seen: dict[tuple[str, str], Path_] = {}
        for place, layer in self.places():
            for kind, name, at in [
                ("layers", layer.name, (*place, "name")),
                *(("experiments", e.name, (*place, "experiments", i, "name")) for i, e in enumerate(layer.experiments)),
            ]:
                if (kind, name) in seen:
                    found.append((f"two {kind} are called '{name}'; names are for the whole file", at))
                seen[kind, name] = at
        names = [domain.name for domain in self.domains]
        found += [
            (f"two domains are called '{name}'", ("domains", at, "name"))
            for at, name in enumerate(names)
            if name in names[:at]
        ]
        measured = [metric.name for metric in self.metrics]
        found += [
            (f"two metrics are called '{name}'", ("metrics", at, "name"))
            for at, name in enumerate(measured)
            if name in measured[:at]
        ]
        _raise(found)
        return self

    def places(self) -> Iterator[tuple[Path_, Layer]]:
        """Every layer with its place in the file."""
        for at, layer in enumerate(self.layers):
            yield ("layers", at), layer
        for i, domain in enumerate(self.domains):
            for at, layer in enumerate(domain.layers):
                yield ("domains", i, "layers", at), layer

    @property
    def all_domains(self) -> list[Domain]:
        """The domains; of a file with layers alone, one that takes all traffic."""
        return self.domains or [Domain(name="all", share=1.0, layers=self.layers)]

    @property
    def experiments(self) -> dict[str, tuple[Layer, Experiment]]:
        """Every experiment with its layer, by name."""
        return {one.name: (layer, one) for _, layer in self.places() for one in layer.experiments}


# ------------------------------------------------------------------------------------------------ rooms


def rooms(owners: Sequence[Room]) -> list[tuple[int, int]]:
    """First bucket of each, and the one behind its last."""
    if any(one.buckets is not None for one in owners):
        return [(one.buckets[0], one.buckets[1] + 1) for one in owners if one.buckets is not None]
    ends = [0]
    for one in owners:
        ends.append(ends[-1] + round((1.0 if one.share is None else one.share) * BUCKETS))
    return list(pairwise(ends))


def _room_problems(owners: Sequence[Room], key: str) -> Iterator[tuple[str, Path_]]:
    placed = [one.buckets is not None for one in owners]
    if any(placed) and not all(placed):
        at = placed.index(False)
        yield f"needs 'buckets', as '{owners[placed.index(True)].name}' beside it has them", (key, at)
        return
    missing = [at for at, one in enumerate(owners) if one.share is None and one.buckets is None]
    if missing and len(owners) > 1:
        yield from (("needs 'share' or 'buckets', as it is not alone", (key, at)) for at in missing)
        return
    found = rooms(owners)
    order = sorted(range(len(found)), key=found.__getitem__)
    if any(placed):
        for before, at in pairwise(order):
            if found[at][0] < found[before][1]:
                yield f"overlaps with '{owners[before].name}'", (key, at, "buckets")
    elif found and found[-1][1] > BUCKETS:
        at = next(i for i, (_, end) in enumerate(found) if end > BUCKETS)
        yield f"all shares up to here are {found[at][1] / BUCKETS:g} together, which is more than 1", (key, at, "share")
    for at, (first, end) in enumerate(found):
        if first == end:
            yield f"is no bucket: a bucket is {1 / BUCKETS:g} of the units", (key, at, "share")


def variables(text: str) -> list[str]:
    """The attributes that a condition reads.

    Raises:
        ExpressionError: The text is no expression.
    """
    words = [match[1] or match[0] for match in _VARIABLE.finditer(text)]
    return list(compile_expression(text, list(dict.fromkeys(words))).used)


# ---------------------------------------------------------------------------------------------- loading


def load_experiments(
    source: str | os.PathLike[str] | Mapping[str, Any] | Document, overrides: Sequence[str] | None = None
) -> ExperimentsConfig:
    """The experiments of a file.

    Args:
        source: A YAML file, its content, or a part of a larger file.
        overrides: `key=value`, as `-o` gives them.

    Raises:
        ConfigError: Everything wrong with it, with lines.
    """
    document = read_yaml(source) if isinstance(source, str | os.PathLike) else Document.of(source)
    if overrides:
        document = override(document, list(overrides))
    config = validate(ExperimentsConfig, document)
    problems = [*_shared(config, document), *_listed(config, document)]
    if problems:
        raise ConfigError(sorted(problems, key=lambda problem: problem.line), document.file)
    return config


def experiments_of(path: str | os.PathLike[str], overrides: Sequence[str] | None = None) -> tuple[Document, str | None]:
    """The experiments that a file names: those of an `experiments.yaml`, or of an `engine.yaml`; and where its log is.

    Args:
        path: The file.
        overrides: `key=value`, laid over the file itself.

    Raises:
        ConfigError: There is no such file, or it names no experiments.
    """
    document = read_yaml(path)
    if overrides:
        document = override(document, list(overrides))
    told = document.data.get("experiments")
    if "scenes" not in document.data and told is None:
        return document, None
    record = document.data.get("record")
    log = record.get("path") if isinstance(record, Mapping) else None
    if isinstance(told, Mapping):
        return document.at(("experiments",)), log
    if not isinstance(told, str):
        problem = document.problem(("experiments",), "needs 'experiments': a file, or what stands in one")
        raise ConfigError([problem], document.file)
    beside = Path(path).parent / told
    return read_yaml(beside if beside.exists() else told), log


def _shared(config: ExperimentsConfig, document: Document) -> Iterator[Problem]:
    """Parameters that two layers of a domain set for one scene."""
    for prefix, layers in _by_domain(config):
        owners: dict[str, list[_Setter]] = {}  # by path, and by every path around it
        told: set[tuple[str, int]] = set()
        for at, layer in enumerate(layers):
            here = list(_set_by(layer, (*prefix, at), at))
            for one in here:
                around = _around(one.path)
                candidates = [*owners.get(one.path, ()), *(o for p in around for o in owners.get(p, ()) if o.path == p)]
                for other in candidates:
                    if one.meets(other) and (one.path, at) not in told:
                        told.add((one.path, at))
                        file, line = document.place(other.place)
                        known = f"{file} line {line}, " if line else ""
                        place = f"{known}{document.describe(other.place)}"
                        text = f"'{other.path}' is set by layer '{layers[other.layer].name}' too: {place}"
                        yield document.problem(one.place, f"{text}\na parameter is set by one layer alone")
            for one in here:
                for path in (one.path, *_around(one.path)):
                    owners.setdefault(path, []).append(one)


class _Setter(NamedTuple):
    """Who sets a parameter: a layer, for some scenes, at a place of the file."""

    path: str
    scenes: frozenset[str] | None
    layer: int
    place: Path_

    def meets(self, other: _Setter) -> bool:
        """Whether there is a scene that both are for."""
        return self.scenes is None or other.scenes is None or bool(self.scenes & other.scenes)


def _set_by(layer: Layer, place: Path_, at: int) -> Iterator[_Setter]:
    """The parameters of a layer, each once for the same scenes."""
    seen = set()
    for i, experiment in enumerate(layer.experiments):
        for j, variant in enumerate(experiment.variants):
            for path in variant.parameters:
                if (path, experiment.scenes) not in seen:
                    seen.add((path, experiment.scenes))
                    where = (*place, "experiments", i, "variants", j, "parameters", path)
                    yield _Setter(path, experiment.scenes, at, where)


def _around(path: str) -> list[str]:
    """The paths that a path lies inside: `rerank.mmr` and `rerank` of `rerank.mmr.lambda`."""
    parts = path.split(".")
    return [".".join(parts[:end]) for end in range(len(parts) - 1, 0, -1)]


def _listed(config: ExperimentsConfig, document: Document) -> Iterator[Problem]:
    """Units on white lists of two experiments of a layer, or of two domains."""
    domains: dict[str, tuple[Path_, str]] = {}
    for prefix, layers in _by_domain(config):
        for at, layer in enumerate(layers):
            held: dict[str, str] = {}
            for i, experiment in enumerate(layer.experiments):
                for j, variant in enumerate(experiment.variants):
                    for k, unit in enumerate(variant.white_list):
                        place = (*prefix, at, "experiments", i, "variants", j, "white_list", k)
                        if held.setdefault(unit, experiment.name) != experiment.name:
                            text = f"'{unit}' is on a list of '{held[unit]}' too, and a unit is in one experiment of a layer"
                            yield document.problem(place, text)
                        if domains.setdefault(unit, (prefix, experiment.name))[0] != prefix:
                            text = f"'{unit}' is on a list of '{domains[unit][1]}' too, and a unit is in one domain"
                            yield document.problem(place, text)


def _by_domain(config: ExperimentsConfig) -> Iterator[tuple[Path_, list[Layer]]]:
    if config.domains:
        yield from ((("domains", i, "layers"), domain.layers) for i, domain in enumerate(config.domains))
    else:
        yield ("layers",), config.layers


def _raise(problems: Iterable[tuple[str, Path_]]) -> None:
    """What a validator found, told at the keys' lines."""
    details = [
        InitErrorDetails(type=PydanticCustomError("fault", "{text}", {"text": text}), loc=keys, input=None)
        for text, keys in problems
    ]
    if details:
        raise ValidationError.from_exception_data("fault", details)
