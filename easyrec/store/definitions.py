"""What `store.yaml` says: entities, feature views, the features of models, and where rows are kept."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, ValidationInfo, field_validator, model_validator
from typing_extensions import Self

from easyrec.errors import nearest
from easyrec.store.codec import arrow_type
from easyrec.store.duration import Duration
from easyrec.store.samples import SampleConfig
from easyrec.store.streams import StreamConfig
from feature_generator.config import Choice, Document, StrictModel, fault, override, read_yaml, validate

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,79}")
"""What projects, entities, views, fields and models may be called: every store and every SQL takes it."""
ViewType: TypeAlias = Literal["batch", "stream", "embedding"]


def _named(value: str) -> str:
    if not NAME.fullmatch(value):
        raise ValueError(f"must be letters, digits and _ without a digit in front, at most 80, but is '{value}'")
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
    description: str = ""

    _check = field_validator("name")(_named)

    @field_validator("type", mode="after")
    @classmethod
    def _known(cls, value: str) -> str:
        arrow_type(value)
        return value


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
    event_time: str | None = Field(None, validate_default=True)
    """The source's column that says since when a row holds; without it rows hold always."""
    created_time: str | None = None
    """The source's column that says when a row became known; training sees no row before."""
    ttl: Annotated[Duration, Field(gt=0.0)] | None = None
    """How old a row may be where it is read: seconds, or such as `30d`. Older ones count as missing."""
    online: bool = True
    """Whether it is published."""
    description: str = ""
    owner: str = ""
    tags: list[str] = []

    _check = field_validator("name")(_named)

    @field_validator("fields", mode="before")
    @classmethod
    def _counted(cls, value: Any, info: ValidationInfo) -> Any:
        stream = info.data.get("stream")
        counted = [] if stream is None else stream.fields
        if value and counted and value != counted:
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
                    raise ValueError(f"{key} '{column}' is a field of type {kind}: times are of type timestamp")
        if self.ttl is not None and self.event_time is None:
            raise ValueError("ttl is counted from the event_time: name the column")
        return self

    @property
    def types(self) -> dict[str, str]:
        """Type of each field, by name, in order."""
        return {field.name: field.type for field in self.fields}

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


class ModelFeatures(StrictModel):
    """What a model reads."""

    name: str
    features: list[Selection] = Field(min_length=1)
    description: str = ""
    owner: str = ""

    _check = field_validator("name")(_named)


class StoreConfig(StrictModel):
    """`store.yaml`."""

    project: str
    online: Annotated[Any, Choice("easyrec.store.online")] = {"type": "sqlite", "path": "online.db"}
    """Where features are read by key."""
    registry: str = "registry.db"
    """The file that holds which definitions were applied."""
    entities: list[Entity] = Field(min_length=1)
    views: list[View] = Field(min_length=1)
    models: list[ModelFeatures] = []
    samples: list[SampleConfig] = []

    _check = field_validator("project")(_named)

    @field_validator("entities", "views", "models", "samples", mode="after")
    @classmethod
    def _distinct(cls, value: Sequence[Any]) -> Sequence[Any]:
        repeated = _repeated(one.name for one in value)
        if repeated:
            raise ValueError(f"two are called '{repeated}'")
        return value

    @model_validator(mode="after")
    def _fit(self) -> Self:
        entities = [entity.name for entity in self.entities]
        for view in self.views:
            if view.entity not in entities:
                told = f"unknown entity '{view.entity}'{nearest(view.entity, entities)}; known: {', '.join(entities)}"
                raise ValueError(f"view '{view.name}': {told}")
            if view.stream is not None:
                view.stream.check_key(self.entity(view.entity).join_id, view.name)
        for model in self.models:
            self.columns(model)
        return self

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
        found = next((view for view in self.views if view.name == name), None)
        if found is None:
            known = [view.name for view in self.views]
            raise ValueError(f"unknown view '{name}'{nearest(name, known)}; known: {', '.join(known)}")
        return found

    def model(self, name: str) -> ModelFeatures:
        """The features of a model.

        Raises:
            ValueError: There is no such model.
        """
        found = next((model for model in self.models if model.name == name), None)
        if found is None:
            known = [model.name for model in self.models]
            raise ValueError(f"unknown model '{name}'{nearest(name, known)}; known: {', '.join(known) or 'none'}")
        return found

    def columns(self, model: ModelFeatures) -> dict[str, tuple[View, str]]:
        """Where each column that a model reads comes from: its view and field, by the name that the model knows.

        Raises:
            ValueError: A view, a field or an alias does not fit.
        """
        made: dict[str, tuple[View, str]] = {}
        joins = {entity.join_id for entity in self.entities}
        for selection in model.features:
            try:
                view = self.view(selection.view)
            except ValueError as error:
                raise ValueError(f"model '{model.name}': {error}") from None
            if not view.online:
                raise ValueError(f"model '{model.name}': view '{view.name}' is not online")
            known = list(view.types)
            fields = selection.fields or known
            for name in [*fields, *selection.alias]:
                if name not in known:
                    told = f"view '{view.name}' has no field '{name}'{nearest(name, known)}"
                    raise ValueError(f"model '{model.name}': {told}")
            for name in fields:
                called = selection.alias.get(name, name)
                if called in made or called in joins:
                    whose = "the id of an entity" if called in joins else f"a field of view '{made[called][0].name}'"
                    told = f"'{called}' of view '{view.name}' is called like {whose}: give it an alias"
                    raise ValueError(f"model '{model.name}': {told}")
                made[called] = (view, name)
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
    document = Document.of(dict(source)) if isinstance(source, Mapping) else read_yaml(source)
    if overrides:
        document = override(document, list(overrides))
    return validate(StoreConfig, document)


def _repeated(names: Iterable[str]) -> str:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return ""
