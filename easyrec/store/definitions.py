"""What `store.yaml` says: entities, feature views, the features of models, and where rows are kept."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

import pyarrow as pa
from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator
from typing_extensions import Self

from easyrec.errors import nearest
from easyrec.store.behaviour import Events
from easyrec.store.codec import arrow_type
from easyrec.store.duration import Duration
from easyrec.store.quality.expectations import Expectation, Quarantine, problems
from easyrec.store.read_config import ReadConfig
from easyrec.store.samples import SampleConfig
from easyrec.store.streams import StreamConfig
from easyrec.store.ui_config import UiConfig
from feature_generator.config import (
    Choice,
    StrictModel,
    fault,
    faults,
    read_config,
    validate,
)

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,79}")
"""What projects, entities, views, fields and models may be called: every store and every SQL takes it."""
UNNAMED = "must be letters, digits and _ without a digit in front, at most 80, but is '{}'"
PASSWORD = re.compile(r"(?<=://)([^/?#\s]*?):[^/?#\s]*@|((?:password|secret|token)=)[^&\s]+", re.IGNORECASE)
"""In an address: behind the user's name, or among its options."""
T = TypeVar("T", "View", "ModelFeatures", "LabelTable")
ViewType: TypeAlias = Literal["batch", "stream", "sequence", "embedding"]


def _named(value: str) -> str:
    if not NAME.fullmatch(value):
        raise ValueError(UNNAMED.format(value))
    return value


class Entity(StrictModel):
    """What features are of: a user, an item."""

    name: str
    join_id: str
    """The column that tells one from another, in sources, spines and requests."""
    description: str = ""

    _check = field_validator("name", "join_id")(_named)


class FieldConfig(StrictModel):
    """A column of a feature view."""

    name: str
    type: str
    """`bool`, `int32`, `int64`, `float`, `double`, `string`, `timestamp`, `array<T>`, `map<K, V>`, `vector<D>`."""
    default: Any = None
    """What readers get where the store does not answer in time; a missing row is null all the same."""
    description: str = ""
    redact: bool = False
    """Its values are shown on no page."""

    _check = field_validator("name")(_named)

    @field_validator("type", mode="after")
    @classmethod
    def _known(cls, value: str) -> str:
        arrow_type(value)
        return value

    @model_validator(mode="after")
    def _fits(self) -> Self:
        try:
            _ = self.default_value
        except (pa.ArrowException, TypeError, ValueError, OverflowError):
            raise ValueError(f"the default of field '{self.name}' is no {self.type}: {self.default!r}") from None
        return self

    @cached_property
    def default_value(self) -> pa.Scalar | None:
        """The default as its type has it."""
        if self.default is None:
            return None
        value = list(self.default.items()) if isinstance(self.default, dict) else self.default
        return pa.scalar(value, arrow_type(self.type))


class View(StrictModel):
    """Features of an entity that come from one source."""

    name: str
    type: ViewType = "batch"
    entity: str
    stream: StreamConfig | None = None
    """Of a stream view: the events, and what is counted of them; these are its fields then."""
    fields: list[FieldConfig] = Field([], max_length=10_000, validate_default=True)
    source: Annotated[Any, Choice("easyrec.store.offline")] | None = None
    """Where its rows lie over all times; training sets are made of them."""
    transform: Annotated[Any, Choice("easyrec.store.transforms")] | None = None
    """How `easyrec store build` makes its rows of other ones; `source` says where they are written."""
    event_time: str | None = Field(None, validate_default=True)
    """The source's column that says since when a row holds; without it rows hold always."""
    created_time: str | None = None
    """The source's column that says when a row became known; training sees no row before."""
    ttl: Annotated[Duration, Field(gt=0.0)] | None = None
    """How old a row may be where it is read: seconds, or such as `30d`. Older ones count as missing."""
    online: bool = True
    """Whether it is published."""
    events: Events | None = None
    """Of a view of sequences: what its events hold, and which sequences are read of them."""
    expect: list[Expectation] = []
    """What rows are looked at for before they are published."""
    quarantine: Quarantine | None = None
    """Where rows are set aside that are not as they are expected to be."""
    description: str = ""
    owner: str = ""
    tags: list[str] = []

    _check = field_validator("name")(_named)

    @field_validator("fields", mode="before")
    @classmethod
    def _counted(cls, value: Any, info: ValidationInfo) -> Any:
        stream = info.data.get("stream")
        counted = [] if stream is None else stream.fields
        known = [(one["name"], one["type"]) for one in counted]
        given = [(one.get("name"), one.get("type")) if isinstance(one, Mapping) else one for one in value or ()]
        if given and counted and given != known:
            raise ValueError("are those that `stream` counts: leave them out")
        return value or counted

    @field_validator("event_time", mode="before")
    @classmethod
    def _happened(cls, value: Any, info: ValidationInfo) -> Any:
        stream = info.data.get("stream")
        return stream.event_time if value is None and stream is not None else value

    @field_validator("fields", mode="after")
    @classmethod
    def _distinct(cls, value: list[FieldConfig]) -> list[FieldConfig]:
        repeated = _repeated(field.name for field in value)
        if repeated:
            raise ValueError(f"two fields are called '{repeated}'")
        return value

    @model_validator(mode="after")
    def _streams(self) -> Self:
        if self.stream is not None and self.type != "stream":
            raise fault("a view that counts events is of type stream", "type")
        if not self.fields:
            raise fault("must have at least 1 item, but has 0", "fields")
        return self

    @model_validator(mode="after")
    def _times(self) -> Self:
        names = [field.name for field in self.fields]
        for key in ("event_time", "created_time"):
            column = getattr(self, key)
            if column is not None and column in names:
                kind = next(field.type for field in self.fields if field.name == column)
                if kind != "timestamp":
                    raise fault(f"'{column}' is a field of type {kind}: times are of type timestamp", key)
        if self.ttl is not None and self.event_time is None:
            raise fault("is counted from the event_time: name the column", "ttl")
        if self.transform is not None:
            if self.source is None or self.source.type != "parquet":
                raise fault("says where what is built is written: {type: parquet, path: ...}", "source")
            if self.source.partition is not None:
                raise fault("what is built is sorted by time, and needs none", "source", "partition")
            try:
                self.transform.check(self.held, self.event_time)
            except ValidationError:
                raise  # which tells its keys
            except ValueError as error:
                raise fault(str(error), "transform") from None
        return self

    @model_validator(mode="after")
    def _vectors(self) -> Self:
        vectors = [field.name for field in self.fields if field.type.startswith("vector")]
        if self.type == "embedding" and len(vectors) != 1:
            raise fault(f"a view of type embedding has one of type vector<D>, but this has {len(vectors)}", "fields")
        return self

    @model_validator(mode="after")
    def _sequences(self) -> Self:
        if (self.type == "sequence") != (self.events is not None):
            told = "a view of type sequence, and no other, says what its 'events' are"
            raise fault(told, "events" if self.type == "sequence" else "type")
        if self.events is not None:
            if self.event_time is None:
                raise fault("events have times: name the column", "event_time")
            for place, sequence in enumerate(self.events.sequences):
                if not NAME.fullmatch(sequence.name):
                    raise fault(UNNAMED.format(sequence.name), "events", "sequences", place, "name")
            self.events.check(self.held, self.event_time)
        return self

    @model_validator(mode="after")
    def _expected(self) -> Self:
        redacted = {field.name for field in self.fields if field.redact}
        found = list(problems(self.expect, self.quarantine, self.held, self.event_time is not None, redacted))
        if found:
            raise faults(found)
        return self

    @property
    def held(self) -> dict[str, str]:
        """Type of each field that its rows hold, by name, in order."""
        return {field.name: field.type for field in self.fields}

    @property
    def stored(self) -> dict[str, str]:
        """The same as schemas of an online store know it."""
        return self.held if self.events is None else self.events.stored(self.held)

    @property
    def types(self) -> dict[str, str]:
        """Type of each column that can be read, by name, in order."""
        if self.events is None:
            return self.held
        return {name: kind for name, (_, _, kind) in self.events.columns(self.held, self.event_time or "").items()}

    def field(self, name: str) -> FieldConfig:
        """The field of a name."""
        return next(field for field in self.fields if field.name == name)

    @property
    def ttl_micros(self) -> int:
        """Microseconds that a row is good for; 0: for ever."""
        return 0 if self.ttl is None else round(self.ttl * 1e6)


class Selection(StrictModel):
    """Fields of a view that a model reads."""

    view: str
    fields: list[str] | None = Field(None, min_length=1)
    """Default: all."""
    alias: dict[str, str] = {}
    """Field to the name that the model knows it by."""


class LabelTable(StrictModel):
    """Rows of ids, times and labels: a spine of training sets by its name."""

    name: str
    source: Annotated[Any, Choice("easyrec.store.offline")]
    event_time: str
    """The column that says when a row happened: features are those that were known then."""
    join_ids: list[str] = Field(min_length=1)
    """Columns that views are joined by."""
    labels: list[str] = Field(min_length=1)
    """Columns of what is learned."""
    keep: list[str] = []
    """More columns to pass on, such as a position."""
    created_time: str | None = None
    """The column that says when the labels became known; statistics of labels see no row before."""
    description: str = ""
    owner: str = ""

    _check = field_validator("name")(_named)

    @property
    def columns(self) -> list[str]:
        """Columns of the spine, in order."""
        return list(dict.fromkeys([*self.join_ids, self.event_time, *self.labels, *self.keep]))


class ModelFeatures(StrictModel):
    """What a model reads."""

    name: str
    features: list[Selection] = Field(min_length=1)
    label: str | None = None
    """The label table that its training sets are made of, where nobody names another spine."""
    description: str = ""
    owner: str = ""

    _check = field_validator("name")(_named)


class StoreConfig(StrictModel):
    """`store.yaml`."""

    project: str
    online: Annotated[Any, Choice("easyrec.store.online")] = Field(
        {"type": "sqlite", "path": "online.db"}, validate_default=True
    )
    """Where features are read by key."""
    registry: str = "registry.db"
    """What holds which definitions were applied: a file, or `postgresql://user:${PASSWORD}@host/database`."""
    entities: list[Entity] = Field(min_length=1)
    views: list[View] = Field(min_length=1)
    models: list[ModelFeatures] = []
    read: ReadConfig = Field(ReadConfig(), exclude=True)
    """How this process reads; other processes may do so in other ways, so it is not applied."""
    serve: Any = Field(None, exclude=True)
    """What `easyrec store serve` takes, which checks it."""
    labels: list[LabelTable] = []
    samples: list[SampleConfig] = []
    ui: UiConfig = Field(UiConfig(), exclude=True)
    """The page to look at it; it is no definition, and in no registry."""

    _check = field_validator("project")(_named)

    @field_validator("entities", "views", "models", "labels", "samples", mode="after")
    @classmethod
    def _distinct(cls, value: Sequence[Any]) -> Sequence[Any]:
        repeated = _repeated(one.name for one in value)
        if repeated:
            raise ValueError(f"two are called '{repeated}'")
        return value

    @model_validator(mode="after")
    def _fit(self) -> Self:
        entities = [entity.name for entity in self.entities]
        found: list[tuple[str, tuple[str | int, ...]]] = []

        def look(what: Callable[[], Any], *keys: str | int) -> None:
            """What a part of the definitions says of another one, at its key."""
            try:
                what()
            except ValidationError:
                raise
            except ValueError as error:
                found.append((str(error), keys))

        for place, view in enumerate(self.views):
            if view.entity not in entities:
                told = f"unknown entity '{view.entity}'{nearest(view.entity, entities)}; known: {', '.join(entities)}"
                found.append((told, ("views", place, "entity")))
                continue
            join_id = self.entity(view.entity).join_id
            if join_id in view.held and view.events is None:
                told = f"'{join_id}' is the id of entity '{view.entity}', which every row has: leave it out"
                found.append((told, ("views", place, "fields", list(view.held).index(join_id))))
            if view.stream is not None:
                look(partial(view.stream.check_key, join_id), "views", place, "stream", "columns")
            if view.transform is not None:
                look(partial(self.built, [view.name]), "views", place, "transform")
        views = [view.name for view in self.views]
        for place, label in enumerate(self.labels):
            if label.name in views:
                found.append((f"a view is called '{label.name}' too", ("labels", place, "name")))
        for place, model in enumerate(self.models):
            found += [(told, ("models", place, *keys)) for told, keys in self._unfit(model)]
            if model.label is not None:
                look(partial(self.label, model.label), "models", place, "label")
        for name in self.read.memory:
            if name not in entities:
                told = f"unknown entity '{name}'{nearest(name, entities)}; known: {', '.join(entities)}"
                found.append((told, ("read", "memory", name)))
        if found:
            raise faults(found)
        return self

    def _unfit(self, model: ModelFeatures) -> Iterator[tuple[str, tuple[str | int, ...]]]:
        """What is wrong with the features of a model, and the way to the key."""
        made: dict[str, str] = {}
        joins = {entity.join_id for entity in self.entities}
        views = {view.name: view for view in self.views}
        for place, selection in enumerate(model.features):
            here = ("features", place)
            view = views.get(selection.view)
            if view is None:
                known = ", ".join(views)
                told = f"unknown view '{selection.view}'{nearest(selection.view, list(views))}; known: {known}"
                yield told, (*here, "view")
                continue
            if not view.online:
                yield f"view '{view.name}' is not online", (*here, "view")
                continue
            known_ = list(view.types)
            for key, names in (("fields", selection.fields or ()), ("alias", selection.alias)):
                for name in names:
                    if name not in known_:
                        told = f"view '{view.name}' has no field '{name}'{nearest(name, known_)}"
                        yield f"{told}; it has: {', '.join(known_[:20])}", (*here, key)
            for name in selection.fields or known_:
                called = selection.alias.get(name, name)
                if called in made or called in joins:
                    whose = "the id of an entity" if called in joins else f"a field of view '{made[called]}'"
                    yield f"'{called}' of view '{view.name}' is called like {whose}: give it an alias", here
                made[called] = view.name

    def written(self) -> dict[str, Any]:
        """The definitions as they may be kept and shown: addresses without their passwords."""
        found: dict[str, Any] = _hidden(self.model_dump())
        return found

    def built(self, names: Sequence[str] = ()) -> list[View]:
        """The views with a transform, each after those that it reads.

        Args:
            names: Only these, and those with a transform that they read; default: all.

        Raises:
            ValueError: One reads what there is not, or itself.
        """
        made: dict[str, View] = {}

        def add(view: View, above: tuple[str, ...]) -> None:
            if view.name in above:
                raise ValueError(f"view '{view.name}' reads itself: {' -> '.join([*above, view.name])}")
            if view.transform is None or view.name in made:
                return
            for given in view.transform.reads.values():
                if isinstance(given, str) and (read := self._input(view, given)) is not None:
                    add(read, (*above, view.name))
            made[view.name] = view

        for view in [self.view(name) for name in names] or self.views:
            add(view, ())
        return list(made.values())

    def _input(self, view: View, name: str) -> View | None:
        """The view that another one reads; None where it is a label table."""
        views, labels = {one.name: one for one in self.views}, [label.name for label in self.labels]
        if name not in views and name not in labels:
            known = [*views, *labels]
            told = f"view '{view.name}' reads '{name}', which is no view or label table{nearest(name, known)}"
            raise ValueError(f"{told}; known: {', '.join(known)}")
        return views.get(name)

    def entity(self, name: str) -> Entity:
        """The entity of a name."""
        return next(entity for entity in self.entities if entity.name == name)

    def views_of(self, entity: str) -> list[View]:
        """The views of an entity."""
        return [view for view in self.views if view.entity == entity]

    def view(self, name: str) -> View:
        """The view of a name.

        Raises:
            ValueError: There is none.
        """
        return _named_one("view", self.views, name)

    def model(self, name: str) -> ModelFeatures:
        """The features of a model.

        Raises:
            ValueError: There is no such model.
        """
        return _named_one("model", self.models, name)

    def label(self, name: str) -> LabelTable:
        """The label table of a name.

        Raises:
            ValueError: There is none.
        """
        return _named_one("label table", self.labels, name)

    def columns(self, model: ModelFeatures) -> dict[str, tuple[View, str]]:
        """Where each column that a model reads comes from: its view and field, by the name that the model knows.

        Raises:
            ValueError: A view, a field or an alias does not fit.
        """
        made: dict[str, tuple[View, str]] = {}
        for told, _ in self._unfit(model):
            raise ValueError(f"model '{model.name}': {told}")
        for selection in model.features:
            view = self.view(selection.view)
            for name in selection.fields or view.types:
                made[selection.alias.get(name, name)] = (view, name)
        return made


def load_store(
    source: str | os.PathLike[str] | Mapping[str, Any], overrides: Sequence[str] | None = None
) -> StoreConfig:
    """The definitions of a store.

    Args:
        source: A YAML file, or its content.
        overrides: `key=value`, as `-o` gives them.

    Raises:
        ConfigError: Everything wrong with them, with lines.
    """
    return validate(StoreConfig, read_config(source, overrides))


def _named_one(kind: str, some: Sequence[T], name: str) -> T:
    """The one of a name.

    Raises:
        ValueError: There is none.
    """
    found = {one.name: one for one in some}
    if name not in found:
        raise ValueError(f"unknown {kind} '{name}'{nearest(name, list(found))}; known: {', '.join(found) or 'none'}")
    return found[name]


def _repeated(names: Iterable[str]) -> str:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return ""


def _hidden(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _hidden(held) for key, held in value.items()}
    if isinstance(value, list):
        return [_hidden(held) for held in value]
    return PASSWORD.sub(_masked, value) if isinstance(value, str) else value


def _masked(found: re.Match[str]) -> str:
    return f"{found[2]}***" if found[2] else f"{found[1]}:***@"
