"""`engine.yaml`: scenes, the stages of each, and what they share."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationError, field_validator, model_validator
from typing_extensions import Self

from easyrec.errors import ConfigError, Problem, nearest
from feature_generator.config import Choice, Document, StrictModel, fault, read_config, read_yaml, validate
from serving.ab.config import load_experiments
from serving.engine.formula import check_text
from serving.engine.history import PACKAGE as HISTORY
from serving.engine.history import HistoryConfig
from serving.engine.history.memory import Config as Memory
from serving.engine.recall import PACKAGE as RECALL
from serving.engine.recall import RecallConfig
from serving.server.config import FeaturesConfig, ItemSource, ModelConfig, Name, ServerConfig, masked_config

FILTERS, RERANK = "serving.engine.filters", "serving.engine.rerank"
MOST_SIZE = 500
"""Items of a list, at most."""


class ShelfConfig(StrictModel):
    """The items that may be recommended."""

    source: ItemSource
    """Files with a row for each."""
    key: str = Field(min_length=1)
    """The column of whole numbers or texts that tells items apart."""
    title: str | None = Field(None, min_length=1)
    """A column with what people call an item, for explanations; default: the key."""
    refresh_s: float = Field(60.0, ge=0.0)
    """How often the files are looked at; they are read again where they have changed. 0: never."""


class RecordConfig(StrictModel):
    """What is written of lists and of what users did: files of a JSON object a line."""

    path: str = Field(min_length=1)
    """The folder. Files are called `exposures-*.jsonl` and `events-*.jsonl` once they are whole."""
    features: bool = True
    """Whether exposures hold the columns that the ranking model read."""
    file_rows: int = Field(20_000, ge=1)
    """Lines of a file."""
    file_s: float = Field(10.0, gt=0.0)
    """How long a file is written to, at most: nobody reads a line before its file is whole."""
    keep_days: float | None = Field(None, gt=0.0)
    """Files older than this are removed."""


class Kept(StrictModel):
    """How many candidates stay."""

    count: int = Field(ge=1, le=100_000)
    """How many."""
    quotas: dict[str, Annotated[int, Field(ge=0)]] = {}
    """By source, how many of its best stay in any case."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if sum(self.quotas.values()) > self.count:
            raise fault(
                f"are {sum(self.quotas.values())} together, but no more than 'count', {self.count}, stay", "quotas"
            )
        return self


class MergeConfig(Kept):
    """How the sources' candidates become one list."""

    count: int = Field(2000, ge=1, le=100_000)
    """How many stay."""


class ScoreConfig(StrictModel):
    """A model that scores candidates."""

    model: Name
    """One of `models`."""
    version: str | None = Field(None, min_length=1)
    """One of the model's versions, by name or digest; default: by their weights."""
    score: Annotated[str, AfterValidator(check_text)] | None = None
    """An expression over the model's tasks, columns of numbers of the catalogue, `user.<column>` and `context.<column>`, e.g.
    `ctr * pow(1 + cvr, 0.5)`; default: the first task."""
    items: str | None = Field(None, min_length=1)
    """A folder that `easyrec embed` wrote, where the model is a user tower: then the task is called `similarity`."""
    any_model: bool = False
    """Take vectors of another model than the tower's; whether they can be compared is yours to know."""
    columns: dict[str, Any] = {}
    """Item columns that have one value for all candidates, e.g. `position: 0`."""
    deadline_ms: float | None = Field(None, gt=0.0)
    """After which the stage is left out, and the order stays as it was; default: what the request has left."""


class PrerankConfig(ScoreConfig, Kept):
    """A light model that chooses what the heavy one scores; the best of a source are those by this model."""

    count: int = Field(300, ge=1, le=100_000)
    """How many stay."""


class SceneConfig(StrictModel):
    """A place where lists are shown, and how they are made."""

    name: Name
    size: int = Field(20, ge=1, le=MOST_SIZE)
    """Items of a list, unless the request says how many."""
    deadline_ms: float = Field(100.0, gt=0.0)
    """After which a list is answered in any case; a client may ask for less by `X-Deadline-Ms`."""
    recall: list[Annotated[Any, Choice(RECALL)]] = Field(min_length=1, max_length=60)
    merge: MergeConfig = MergeConfig()
    filters: list[Annotated[Any, Choice(FILTERS)]] = []
    prerank: PrerankConfig | None = None
    rank: ScoreConfig | None = None
    rerank: list[Annotated[Any, Choice(RERANK)]] = []
    fallback: Name | None = None
    """A source that gives everybody the same, which fills lists that would be short; default: the first such."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        known = [source.called for source in self.recall]
        for key, stages in (("recall", self.recall), ("filters", self.filters), ("rerank", self.rerank)):
            names = [stage.called for stage in stages]
            for place, name in enumerate(names):
                if name in names[:place]:
                    raise fault(f"two of them are called '{name}': give one another 'name'", key, place)
        for key, stage in (("merge", self.merge), ("prerank", self.prerank)):
            for name in stage.quotas if stage is not None else ():
                if name not in known:
                    told = f"there is no source '{name}'{nearest(name, known)}; known: {', '.join(known)}"
                    raise fault(told, key, "quotas", name)
        for place, stage in enumerate(self.rerank):
            for number, slot in enumerate(getattr(stage, "slots", ())):
                if slot.source is not None and slot.source not in known:
                    told = f"there is no source '{slot.source}'{nearest(slot.source, known)}; known: {', '.join(known)}"
                    raise fault(told, "rerank", place, "slots", number, "source")
        able = [source.called for source in self.recall if source.for_all]
        if self.fallback is not None and self.fallback not in known:
            raise fault(f"there is no source '{self.fallback}'{nearest(self.fallback, known)}", "fallback")
        if self.fallback is not None and self.fallback not in able:
            told = (
                f"'{self.fallback}' gives each user other items, or none; those that may: {', '.join(able) or 'none'}"
            )
            raise fault(told, "fallback")
        return self

    def sources(self) -> Iterator[RecallConfig]:
        """The sources."""
        yield from self.recall

    @property
    def falls_back_on(self) -> str | None:
        """The source that fills lists; None: the catalogue in its order."""
        able = [source.called for source in self.sources() if source.for_all]
        return self.fallback or (able[0] if able else None)

    def scorers(self) -> Iterator[tuple[str, ScoreConfig]]:
        """The stages that a model scores."""
        if self.prerank is not None:
            yield "prerank", self.prerank
        if self.rank is not None:
            yield "rank", self.rank

    def with_parameters(self, parameters: Mapping[str, Any]) -> SceneConfig:
        """The scene of an experiment: paths such as `rank.score`, `recall.ann.count`, `rerank.mmr.lambda` have other values.

        Stages of a list are found by their name.

        Raises:
            ConfigError: There is no such path, or it cannot have that value.
        """
        if not parameters:
            return self
        data = copy.deepcopy(self.model_dump(mode="json", by_alias=True, exclude_unset=True))
        for path, value in parameters.items():
            _set(data, path, value)
        data["name"] = self.name
        try:
            return validate(SceneConfig, Document.of(data))
        except ConfigError as error:
            told = ", ".join(f"{path}={value!r}" for path, value in parameters.items())
            raise ConfigError(f"scene '{self.name}' with {told[:300]}: {error}") from None


def _set(data: Any, path: str, value: Any) -> None:
    steps = path.split(".")
    for depth, step in enumerate(steps):
        last = depth == len(steps) - 1
        if isinstance(data, list):
            found = [
                i for i, one in enumerate(data) if isinstance(one, dict) and step in (one.get("name"), one.get("type"))
            ]
            named = [i for i in found if data[i].get("name", data[i].get("type")) == step]
            if not named and len(found) != 1:
                known = [str(one.get("name", one.get("type"))) for one in data if isinstance(one, dict)]
                raise ConfigError(
                    f"parameter '{path}': there is no '{step}'{nearest(step, known)}; known: {', '.join(known)}"
                )
            key: Any = (named or found)[0]
        elif isinstance(data, dict):
            key = step
            if not last and data.get(key) is None:
                data[key] = {}
        else:
            raise ConfigError(f"parameter '{path}': nothing is inside of a value")
        if last:
            data[key] = value
        elif isinstance(data, dict) and key in data and not isinstance(data[key], dict | list):
            raise ConfigError(f"parameter '{path}': '{step}' has a value, and nothing inside of it")
        else:
            data = data[key]


class EngineConfig(ServerConfig):
    """`engine.yaml`."""

    port: int = Field(8020, ge=0, le=65535)
    """0 takes a free one."""
    models: list[ModelConfig] = []
    """What scores, as in `serving.yaml`. Columns that a request lacks are null unless a model says otherwise, and items are
    those of the engine's catalogue unless a model has one of its own."""
    catalogue: ShelfConfig
    user_key: str = Field("user_id", min_length=1)
    """The column of the user that `user_id` of a request is."""
    features: FeaturesConfig | None = None
    """A feature store with columns of users, which all stages read; each request asks it once."""
    history: Annotated[Any, Choice(HISTORY)] = Memory(type="memory")
    """Where recent clicks and what was shown are kept."""
    events: dict[Name, float] = {"click": 1.0}
    """Types of events that are taken, and how much each says that the user likes the item; 0: it is written down only."""
    experiments: str | dict[str, Any] | None = None
    """A file of experiments, or its content."""
    record: RecordConfig | None = None
    """Where lists and events are written down; without it they are not."""
    scenes: list[SceneConfig] = Field(min_length=1)

    @field_validator("scenes", mode="after")
    @classmethod
    def _told_apart(cls, value: list[SceneConfig]) -> list[SceneConfig]:
        names = [scene.name for scene in value]
        repeated = {name for name in names if names.count(name) > 1}
        if repeated:
            raise ValueError(f"two scenes are called '{min(repeated)}'")
        return value

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        for number, scene in enumerate(self.scenes):
            self.check_scene(scene, number)
        history: HistoryConfig = self.history
        if self.processes > 1 and not history.shared:
            told = f"'{history.type}' is of one process alone, but there are {self.processes}: take one that is shared"
            raise fault(told, "history")
        return self

    def check_scene(self, scene: SceneConfig, number: int = 0) -> None:
        """Look whether the models that a scene names are there.

        Raises:
            ValidationError: One is not.
        """
        known = [model.name for model in self.models]
        places: list[tuple[Any, tuple[str | int, ...]]] = [
            *((source, ("recall", place)) for place, source in enumerate(scene.recall)),
            *((config, (stage,)) for stage, config in scene.scorers()),
        ]
        for config, place in places:
            model = getattr(config, "model", None)
            if isinstance(model, str) and model not in known:
                told = f"there is no model '{model}'{nearest(model, known)}; known: {', '.join(known) or 'none'}"
                raise fault(told, "scenes", number, *place, "model")

    def scene(self, name: str) -> SceneConfig:
        """The scene of that name; without one, the first.

        Raises:
            KeyError: There is none.
        """
        if not name:
            return self.scenes[0]
        found = next((scene for scene in self.scenes if scene.name == name), None)
        if found is None:
            raise KeyError(name)
        return found


def load_engine_config(
    source: str | os.PathLike[str] | Mapping[str, Any], overrides: Sequence[str] | None = None
) -> EngineConfig:
    """The config of an engine.

    Args:
        source: A YAML file, or its content.
        overrides: `key=value`, as `-o` gives them.

    Raises:
        ConfigError: Everything wrong with it, with lines, without secrets.
    """
    document = read_config(source, overrides)
    try:
        config = validate(EngineConfig, document)
    except ConfigError as error:
        raise masked_config(error, document) from None
    if isinstance(config.experiments, str) and document.file:
        beside = Path(document.file).parent / config.experiments
        if beside.exists():
            config = config.model_copy(update={"experiments": str(beside)})
    elif isinstance(config.experiments, dict) and document.file:
        # What is stopped at run time lies where `easyrec engine ab` looks for it: beside this file.
        state = Path(document.file).parent / str(config.experiments.get("state") or "ab_state")
        config = config.model_copy(update={"experiments": {**config.experiments, "state": str(state)}})
    check_experiments(config)
    return config


def check_experiments(config: EngineConfig) -> None:
    """Look whether every variant of the experiments gives scenes that can be.

    Raises:
        ConfigError: One does not, or the experiments' file is wrong.
    """
    if config.experiments is None:
        return
    told = config.experiments
    document = read_yaml(told) if isinstance(told, str) else Document.of(told)
    problems: list[Problem] = []
    for place, layer in load_experiments(document).places():
        for number, experiment in enumerate(layer.experiments):
            for arm, variant in enumerate(experiment.variants):
                where = (*place, "experiments", number, "variants", arm, "parameters")
                for scene in config.scenes:
                    if experiment.scenes is not None and scene.name not in experiment.scenes:
                        continue
                    try:
                        config.check_scene(scene.with_parameters(variant.parameters))
                    except ConfigError as error:
                        problems.append(document.problem(where, str(error)))
                    except ValidationError as error:
                        problems.append(document.problem(where, str(error.errors()[0]["msg"])))
                unknown = sorted((experiment.scenes or frozenset()) - {scene.name for scene in config.scenes})
                if unknown and not arm:
                    known = [scene.name for scene in config.scenes]
                    text = f"there is no scene '{unknown[0]}'{nearest(unknown[0], known)}; known: {', '.join(known)}"
                    problems.append(document.problem((*place, "experiments", number, "scene"), text))
    if problems:
        raise ConfigError(problems, document.file)
