"""What is served: models, their versions, and the bundle behind each at this moment."""

from __future__ import annotations

import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from easyrec.errors import BundleError, ConfigError, nearest
from easyrec.export.bundle import digest_of
from easyrec.export.trust import Trust
from easyrec.export.warmup import FOLDER, WarmupRows
from serving.cache_stats import CacheStats
from serving.catalogue import Catalogue
from serving.features import FeatureSource, StoreFeatures
from serving.item_cache import ItemCache
from serving.predictor import Predictor
from serving.server.config import LimitsConfig, ModelConfig, VersionConfig
from serving.server.http import Refused
from serving.server.items import Items
from serving.user_cache import UserCache

DIGITS = 12
"""Digits of a bundle's digest that tell it from others in answers, paths and logs."""


class Loaded:
    """A bundle that was proven and warmed, and what it answers with until the last request that uses it has ended.

    Args:
        path: The bundle.
        model: How it is served.
        limits: Bounds on a request.
        trust: Whose bundles are taken.
        items: What fills the catalogue, where the model has one.
        source: The feature store, where the model has one.

    Attributes:
        digest: Of its manifest, which names every byte of it.
        version: The first digits of it.
        columns: The raw columns that it reads, with their sides.
        types: Their Arrow types, when the model was trained.
        heads: Names of the sequences whose objects hold some of them.
        schema: Of the warm-up rows, which hold all columns.
        shapes: Of the inputs of its dense part: for each, type and shape, -1 where it depends on the request.
        ids: Columns that requests may hold besides: by join id, the side.
        stored: Columns that a feature store has, so that requests need not hold them.

    Raises:
        BundleError: It is damaged, or does not answer as it was trained.
        ConfigError: It has no such column as the config names.
        DataError: The items of its catalogue cannot be read.
    """

    def __init__(
        self,
        path: Path,
        model: ModelConfig,
        limits: LimitsConfig,
        trust: Trust | None = None,
        items: Items | None = None,
        source: FeatureSource | None = None,
    ) -> None:
        self.path, self.digest = path, digest_of(path)
        self.version = self.digest[:DIGITS]
        self.predictor = Predictor.load(
            path,
            trust=trust,
            runtime=model.runtime,
            trust_native=model.trust_native,
            limits=limits.of_values(),
            bad_values=model.bad_values,
            missing_columns=model.missing_columns,
            device=model.device,
        )
        if digest_of(path) != self.digest:
            raise BundleError(f"{path}: was replaced while it was loaded")
        self.since = time.time()
        self.columns: dict[str, str] = dict(self.predictor.generator.inputs)
        kinds = {column.name: column.type for column in self.predictor.manifest.signature.inputs}
        check_columns(model, self.columns)
        self.types = {name: kinds.get(name, "string") for name in self.columns}
        self.heads = {name.partition("__")[0] for name in self.columns if "__" in name}
        self.shapes = self._warm()
        if items is not None:
            with _of("catalogue"):
                self.predictor.catalogue = items.catalogue(self.predictor)
        users, cached = model.user_cache, model.item_cache
        if users is not None:
            self.predictor.user_cache = UserCache(users.key, rows=users.rows, age_s=users.age_s)
        if cached is not None:
            with _of("item_cache"):
                made = ItemCache(self.predictor, cached.key, rows=cached.rows, version=cached.version)
            self.predictor.item_cache = made
        self.ids: dict[str, str] = {}
        self.stored: frozenset[str] = frozenset()
        if source is not None:
            store = self.predictor.store = StoreFeatures(self.predictor, source)
            self.ids, self.stored = store.ids, store.stored
        self._lock, self._leases, self._retired = threading.Lock(), 0, False

    def _warm(self) -> dict[str, tuple[str, list[int]]]:
        """Score the warm-up rows as they would be in a request, so that the first one is as fast as the others."""
        torch = sys.modules.get("torch")
        if torch is not None:
            torch.set_num_threads(1)  # a thread for each request; more of them would wait for each other
        rows = WarmupRows.load(self.predictor.bundle.folder(FOLDER)).rows
        self.schema = rows.schema
        inputs = self.predictor.inputs(rows)
        for _ in range(3):
            self.predictor.program(inputs)
        return {name: (array.dtype.name, [-1, *array.shape[1:]]) for name, array in inputs.items()}

    @contextmanager
    def leased(self) -> Iterator[bool]:
        """Whether it may be used; inside of the block it stays open."""
        with self._lock:
            alive = not self._retired
            self._leases += alive
        try:
            yield alive
        finally:
            if alive:
                with self._lock:
                    self._leases -= 1
                    last = self._retired and not self._leases
                if last:
                    self.predictor.forget()

    def value_counts(self) -> dict[tuple[str, str], int]:
        """Values that were missing, unknown or bad, by kind, and column or feature."""
        stats = self.predictor.stats
        kinds = {"missing": stats.missing, "unknown": stats.unknown, "bad": stats.bad}
        return {(kind, name): count for kind, counts in kinds.items() for name, count in counts.items()}

    def caches(self) -> dict[str, CacheStats]:
        """The state of its caches, by what they keep."""
        held = {
            "catalogue": self.predictor.catalogue,
            "users": self.predictor.user_cache,
            "items": self.predictor.item_cache,
        }
        return {name: cache.stats for name, cache in held.items() if cache is not None}

    def cache_counts(self) -> dict[tuple[str, str], int]:
        """What its caches counted, by cache and kind."""
        return {(n, kind): getattr(s, kind) for n, s in self.caches().items() for kind in ("hits", "misses", "evicted")}

    def retire(self) -> None:
        """Close it once no request uses it."""
        with self._lock:
            already, self._retired = self._retired, True
            idle = not self._leases
        if idle and not already:
            self.predictor.forget()


class Version:
    """A version of a model: the bundle that answers now, and the one before it.

    Attributes:
        current: What answers; None until the first one is loaded.
        previous: What answered before, kept open for a rollback.
        base: Digest of what its source held when it was taken; deltas may have made another bundle of it.
        rolled_back: Digests of bundles that are not taken again until somebody asks for a reload.
        retries: Digests of what was refused: how often, and when it is tried again, by `time.monotonic`.
        out: Whether it gets no requests but those that name it, until it has another bundle.
        counted: Values that bundles before those two found missing, unknown or bad, by kind and name.
        cached: What the caches of bundles before those two counted, by cache and kind.
    """

    def __init__(self, config: VersionConfig) -> None:
        self.config = config
        self.current: Loaded | None = None
        self.previous: Loaded | None = None
        self.base = ""
        self.out = False
        self.rolled_back: set[str] = set()
        self.retries: dict[str, tuple[int, float]] = {}
        self.counted: Counter[tuple[str, str]] = Counter()
        self.cached: Counter[tuple[str, str]] = Counter()

    def swap(self, new: Loaded) -> None:
        """Answer with `new` from now on. Requests that have begun end with what they began with."""
        oldest, self.previous, self.current = self.previous, self.current, new
        self.out = False
        if oldest is not None and oldest is not new:  # of a rollback they are the same
            self.counted.update(oldest.value_counts())
            self.cached.update(oldest.cache_counts())
            oldest.retire()

    def cache_counts(self) -> Counter[tuple[str, str]]:
        """What the caches of all its bundles counted, by cache and kind."""
        counts = Counter(self.cached)
        for loaded in {self.current, self.previous} - {None}:
            assert loaded is not None
            counts.update(loaded.cache_counts())
        return counts

    def may_try(self, digest: str) -> bool:
        """Whether it was not refused, or so long ago that it may be tried again."""
        return digest not in self.retries or time.monotonic() >= self.retries[digest][1]

    def retry(self, digest: str, first_s: float, last_s: float) -> None:
        """Remember that it was refused; the pause before the next try doubles."""
        times = self.retries.get(digest, (0, 0.0))[0]
        self.retries[digest] = (times + 1, time.monotonic() + min(last_s, first_s * 2.0**times))

    def close(self) -> None:
        """Let go of both."""
        for loaded in (self.current, self.previous):
            if loaded is not None:
                loaded.retire()

    @contextmanager
    def leased(self) -> Iterator[Loaded]:
        """What answers now, open for as long as the block lasts.

        Raises:
            Refused: Nothing was loaded yet.
        """
        while True:
            loaded = self.current
            if loaded is None:
                raise Refused(503, "starting", "the model is being loaded", retry_after=1)
            with loaded.leased() as alive:
                if alive:
                    yield loaded
                    return


class Model:
    """A model and its versions.

    Args:
        config: How it is served.

    Attributes:
        main: The version with the largest weight, canaries aside.
        items: What fills the catalogues of its bundles; None: it has none.
        source: The feature store that all its bundles read; None: it has none.
    """

    def __init__(self, config: ModelConfig) -> None:
        self.config, self.name = config, config.name
        self.items: Items | None = None
        self.source: FeatureSource | None = None
        self.versions = [Version(version) for version in config.all_versions()]
        self._answering = [version for version in self.versions if version.config.shadow is None]
        trusted = [version for version in self._answering if version.config.canary is None]
        self.main = max(trusted or self._answering, key=lambda version: version.config.weight)
        self.shadows = [version for version in self.versions if version.config.shadow is not None]

    def pick(self, wanted: str = "") -> Version:
        """The version of that name or digest; without one, by the weights.

        Raises:
            Refused: There is none.
        """
        if not wanted:
            if len(self._answering) == 1:
                return self._answering[0]
            weights = [0.0 if version.out else version.config.weight for version in self._answering]
            return random.choices(self._answering, weights)[0]  # noqa: S311 (shares, no secrets)
        for version in self.versions:
            loaded = version.current
            if version.config.name == wanted or (loaded is not None and wanted in (loaded.version, loaded.digest)):
                return version
        raise Refused(404, "unknown_version", f"the model '{self.name}' has no version '{wanted[:100]}'")

    def value_counts(self) -> Iterator[dict[tuple[str, str], int]]:
        """Of each bundle that answered: values that were missing, unknown or bad, by kind and name."""
        for version in self.versions:
            yield version.counted
            for loaded in (version.current, version.previous):
                if loaded is not None:
                    yield loaded.value_counts()

    def catalogues(self) -> list[Catalogue]:
        """Those of the bundles that answer, or may do so again."""
        open_ = [loaded for version in self.versions for loaded in (version.current, version.previous)]
        held = {id(one): one.predictor.catalogue for one in open_ if one is not None}
        return [one for one in held.values() if one is not None]

    @property
    def ready(self) -> bool:
        """Whether all its versions were loaded."""
        return all(version.current is not None for version in self.versions)

    def known(self) -> list[str]:
        """The digests of its versions, those that answer first."""
        ordered = [*self._answering, *self.shadows]
        return [version.current.version for version in ordered if version.current is not None]


class Models:
    """All models of a server.

    Args:
        configs: How each is served.
    """

    def __init__(self, configs: list[ModelConfig]) -> None:
        self._models = {config.name: Model(config) for config in configs}

    def __iter__(self) -> Iterator[Model]:
        return iter(self._models.values())

    def get(self, name: str) -> Model:
        """The model of that name; without one, the only one.

        Raises:
            Refused: There is no such model, or there are several.
        """
        if not name:
            if len(self._models) == 1:
                return next(iter(self._models.values()))
            raise Refused(400, "model", f"which model? known: {', '.join(self._models)}", column="model")
        found = self._models.get(name)
        if found is None:
            raise Refused(404, "unknown_model", f"no model '{name[:100]}'{nearest(name, list(self._models))}")
        return found

    @property
    def ready(self) -> bool:
        """Whether all were loaded."""
        return all(model.ready for model in self)

    def close(self) -> None:
        """Let go of all."""
        for model in self:
            for version in model.versions:
                version.close()
            if model.source is not None:
                model.source.close()


def check_columns(model: ModelConfig, columns: Mapping[str, str]) -> None:
    """Look whether a bundle has the columns that a model's config names.

    Args:
        model: How it is served.
        columns: The bundle's raw columns, with their sides.

    Raises:
        ConfigError: It lacks one; not where requests may hold columns that no feature reads.
    """
    users = model.user_cache
    named = (("unique", model.unique, "item"), ("user_cache.key", None if users is None else users.key, "user"))
    for key, column, side in named:
        if column is None or columns.get(column) == side or model.unknown_columns == "ignore":
            continue
        near = nearest(column, [name for name, own in columns.items() if own == side])
        raise ConfigError(f"model '{model.name}': {key}: no feature reads '{column}' of the {side}{near}")


@contextmanager
def _of(section: str) -> Iterator[None]:
    """Name the section whose keys an error is about."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError([replace(p, message=f"{section}: {p.message}") for p in error.problems], error.file) from None


def describe(loaded: Loaded) -> dict[str, Any]:
    """What logs and admin answers say of a bundle."""
    bundle = loaded.predictor.bundle
    told = {"version": loaded.version, "bundle": bundle.manifest.name, "created": bundle.manifest.created}
    return told if bundle.signed_by is None else {**told, "signed_by": bundle.signed_by}
