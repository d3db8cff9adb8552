"""Keeps what is served up to date: new bundles, deltas, reloads and rollbacks, in every process of a server.

Each process looks on its own and loads on its own; an order (a reload, a rollback) is written into a file that all of
them read. Whatever is refused leaves what answers as it is.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from easyrec.errors import StoreError
from easyrec.export.bundle import Bundle, digest_of
from easyrec.export.delta import apply_delta
from easyrec.store.definitions import load_store
from feature_generator.errors import FeatureGeneratorError
from serving.features import FeatureSource
from serving.server.canary import Trials
from serving.server.config import ServerConfig
from serving.server.events import tell
from serving.server.http import Refused
from serving.server.items import Items
from serving.server.metrics import Board, Metrics
from serving.server.models import DIGITS, Loaded, Model, Models, Version, describe
from serving.server.sources import Offer, Room, Source, source_config

FIRST_RETRY_S, LAST_RETRY_S = 2.0, 60.0
"""A refused bundle is tried again: it may be one that is still being copied."""
KEPT_S = 600.0
"""How long a copy is kept that this process has no use for; another one may be about to open it."""


@dataclass
class Outcome:
    """What became of a look at a version.

    Attributes:
        result: `loaded`, `same`, or `refused`.
        why: What was wrong.
    """

    result: str
    why: str = ""


class Keeper:
    """Looks at bundles and deltas, and swaps. Its methods run in one thread.

    Args:
        config: The server's.
        models: What is served.
        metrics: What counts.
        state: The folder that the processes of the server share.
    """

    def __init__(self, config: ServerConfig, models: Models, metrics: Metrics, state: Path) -> None:
        self.config, self.models, self.metrics, self.state = config, models, metrics, state
        self._orders = state / "orders.json"
        self._bundles = state / "bundles"
        self._bundles.mkdir(parents=True, exist_ok=True)
        room = Room(state, config.trust)
        self._sources: dict[Version, tuple[Source, Source | None]] = {}
        for _, version in self._all():
            deltas = None if version.config.deltas is None else source_config(version.config.deltas).open(room)
            self._sources[version] = (source_config(version.config.bundle).open(room), deltas)
        self._followed = 0
        self.trials, self._board = Trials(models), Board(state / "metrics")
        for model in models:
            if model.config.catalogue is not None:
                journal, logs = state / f"items-{model.name}.jsonl", config.request_log is not None
                model.items = Items(model.config.catalogue, journal, columns=logs)
        self._open_stores()

    def _open_stores(self) -> None:
        """Open the feature stores; models of one store share what is held of it in memory."""
        known: dict[str, FeatureSource] = {}
        for model in self.models:
            features = model.config.features
            if features is not None:
                first = known.get(features.store)
                config = load_store(features.store) if first is None else first.config
                near = None if first is None else first.near
                model.source = FeatureSource(config, features.model, features.deadline_ms, near)
                known.setdefault(features.store, model.source)

    # ------------------------------------------------------------------------------------------------- looks

    def begin(self) -> None:
        """Load everything for the first time; what is refused is tried again later."""
        for near in {model.source.near for model in self.models if model.source is not None}:
            try:
                near.start()
            except StoreError as error:  # noqa: PERF203 (there are few)
                tell(logging.ERROR, "a feature store cannot be read yet", why=str(error))
        for model, version in self._all():
            order = self._last_order(model, version, "rollback")
            if order is not None:
                version.rolled_back.add(order["from"])
            if order is not None and self._source(version) in (order["from"], order["base"]):
                self._take(model, version, _here(order["path"]))
                version.base = order["base"]
            if version.current is None:
                self.look(model, version)
            order = self._last_order(model, version, "withdraw")
            if order is not None:
                self._take_out(version, order["from"])
        self._followed = self._number()

    def watch(self) -> None:
        """Follow orders, and look at everything where the config asks for that."""
        for order in self._new_orders():
            self._follow(order)
        for name, canary, why in self.trials.verdicts(self._board.others() if self.trials else ()):
            self._withdraw(self.models.get(name), canary, why)
        for model, version in self._all():
            if self.config.watch_s or version.current is None:
                self.look(model, version)
        for model in self.models:
            result = model.items.watch(model.catalogues()) if model.items is not None else ""
            if result:
                self.metrics.add("easyrec_cache_refreshes_total", model=model.name, result=result)
        self._tidy()

    def look(self, model: Model, version: Version, *, forced: bool = False) -> Outcome:
        """Take what the source of a version holds, if that is new, then the deltas that begin at it.

        Args:
            model: The model.
            version: The version.
            forced: Try again what was refused or rolled back.
        """
        if forced:
            version.retries.clear()
            if version.rolled_back:
                version.base = ""  # what the source holds may be what was rolled back
            version.rolled_back.clear()
        outcome = Outcome("same")
        bundles, deltas = self._sources[version]
        try:
            offer = bundles.bundle()
        except Exception as error:  # noqa: BLE001 (the process edge: no place may end the server)
            return self._refuse(model, version, bundles.shown, bundles.shown, error)
        digest = offer.digest
        current = version.current
        if not version.out and digest != version.base and current is not None and digest == current.digest:
            version.base = digest  # deltas made of it what the source holds by now
        if digest != version.base and digest not in version.rolled_back and version.may_try(digest):
            outcome = self._take(model, version, offer)
            if outcome.result == "loaded":
                version.base = digest
        while deltas is not None and version.current is not None:
            found = self._delta(model, version, deltas)
            if found is None:
                break
            outcome = found
            if outcome.result == "refused":
                break
        return outcome

    def _take(self, model: Model, version: Version, offer: Offer) -> Outcome:
        """Load a bundle and answer with it."""
        begun = time.perf_counter()
        digest, path, opened = offer.digest, None, None
        try:
            path = offer.fetch()
            digest = digest_of(path)
            opened = self._pinned(path, digest)
            loaded = Loaded(opened, model.config, self.config.limits, self.config.trust, model.items, model.source)
        except Exception as error:  # noqa: BLE001 (the process edge: no bundle may end the server)
            if opened is not None and (opened != path or not self._is_sound(opened)):
                with self._locked("bundles"):
                    shutil.rmtree(opened, ignore_errors=True)  # the next try links, fetches or makes it anew
            return self._refuse(model, version, digest, offer.place, error)
        version.swap(loaded)
        version.retries.pop(digest, None)
        self.metrics.add("easyrec_model_loads_total", model=model.name, result="loaded")
        seconds = round(time.perf_counter() - begun, 3)
        tell(logging.INFO, "a bundle answers", model=model.name, **describe(loaded), seconds=seconds)
        return Outcome("loaded")

    def _is_sound(self, path: Path) -> bool:
        """Whether a bundle has the bytes that it should have; what lies in other places than ours is not our affair."""
        try:
            return path.parent != self._bundles or bool(Bundle.open(path, trust=self.config.trust))
        except FeatureGeneratorError:
            return False

    def _refuse(self, model: Model, version: Version, digest: str, path: str, error: Exception) -> Outcome:
        known = isinstance(error, FeatureGeneratorError)
        why = str(error) if known else f"{path}: {type(error).__name__}"
        if version.may_try(digest):
            self.metrics.add("easyrec_model_loads_total", model=model.name, result="refused")
            tell(logging.ERROR, "a bundle was refused", None if known else error, model=model.name, why=why)
        version.retry(digest, FIRST_RETRY_S, LAST_RETRY_S)
        return Outcome("refused", why)

    def _pinned(self, path: Path, digest: str) -> Path:
        """The bundle under links of our own, so that it can be replaced where it lies; itself where there are no links."""
        target = self._bundles / digest[:DIGITS]
        if path == target:
            return path
        with self._locked("bundles"):
            if _is_whole(target):  # another process may have it open
                return target
            shutil.rmtree(target, ignore_errors=True)
            try:
                shutil.copytree(path, target, copy_function=os.link, symlinks=True)
            except (OSError, shutil.Error):
                shutil.rmtree(target, ignore_errors=True)
                return path
        return target

    def _delta(self, model: Model, version: Version, source: Source) -> Outcome | None:
        """Apply one delta that begins at what answers; None where there is none."""
        current = version.current
        assert current is not None
        try:
            offers = source.deltas()
        except FeatureGeneratorError as error:
            return self._refuse(model, version, source.shown, source.shown, error)
        for offer in offers:
            if offer.error is not None:
                if version.may_try(offer.place):
                    self._refuse(model, version, offer.place, offer.place, offer.error)
                continue
            result = offer.result
            if offer.base != current.digest or result in version.rolled_back:
                continue
            if not version.may_try(offer.digest) or not version.may_try(result):
                continue
            made, path = self._bundles / result[:DIGITS], None
            try:
                path = offer.fetch()
                with self._locked("bundles"):
                    if not _is_whole(made):
                        apply_delta(current.path, path, made, overwrite=True, trust=self.config.trust)
            except Exception as error:  # noqa: BLE001 (the process edge: no delta may end the server)
                if path is not None and path.parent == self.state / "deltas":
                    shutil.rmtree(path, ignore_errors=True)  # the next try fetches it anew
                return self._refuse(model, version, offer.digest, offer.place, error)
            return self._take(model, version, _here(made))
        return None

    # ------------------------------------------------------------------------------------------------ orders

    def reload(self, model: Model) -> list[Outcome]:
        """Look at all versions of a model now, and have the other processes do so."""
        outcomes = [self.look(model, version, forced=True) for version in model.versions]
        self._order({"kind": "reload", "model": model.name})
        return outcomes

    def change(self, model: Model, upsert: list[Any], remove: list[Any]) -> tuple[int, int, int]:
        """Change a model's catalogue, and have the other processes do so.

        Returns:
            How many items were upserted, removed, and are there now.

        Raises:
            DataError: One cannot be taken; then nothing is changed.
        """
        assert model.items is not None
        catalogues = model.catalogues()
        upserted, removed = model.items.change(catalogues, upsert, remove)
        return upserted, removed, len(catalogues[0])

    def rollback(self, model: Model, version: Version) -> None:
        """Answer with the bundle before, and have the other processes do so.

        Raises:
            Refused: There is none.
        """
        former, current = version.previous, version.current
        if former is None or current is None:
            raise Refused(409, "no_former", "no bundle answered before this one")
        place = model.versions.index(version)
        self._back(model, version, former)
        order = {"kind": "rollback", "model": model.name, "place": place, "base": version.base}
        self._order({**order, "from": current.digest, "to": former.digest, "path": str(former.path)})

    def _back(self, model: Model, version: Version, former: Loaded) -> None:
        current = version.current
        version.rolled_back.discard(former.digest)
        if current is not None:
            version.rolled_back.add(current.digest)
        version.swap(former)
        self.metrics.add("easyrec_model_loads_total", model=model.name, result="rolled_back")
        tell(logging.WARNING, "rolled back", model=model.name, **describe(former))

    def _follow(self, order: dict[str, Any]) -> None:
        model = self.models.get(order["model"])
        if order["kind"] == "reload":
            for version in model.versions:
                self.look(model, version, forced=True)
            return
        version = model.versions[order["place"]]
        if order["kind"] == "withdraw":
            self._take_out(version, order["from"])
            return
        current, former = version.current, version.previous
        version.rolled_back.add(order["from"])
        if current is not None and current.digest == order["to"]:
            return
        if former is not None and former.digest == order["to"]:
            self._back(model, version, former)
        elif self._take(model, version, _here(order["path"])).result == "loaded":
            version.base = order["base"]

    def _withdraw(self, model: Model, version: Version, why: str) -> None:
        """Let a canary go: back to its bundle before, or where there is none that may answer, out."""
        current, former = version.current, version.previous
        assert current is not None
        back = former is not None and former.digest not in version.rolled_back
        if back:
            self.rollback(model, version)
        else:
            self._take_out(version, current.digest)
            place = model.versions.index(version)
            self._order({"kind": "withdraw", "model": model.name, "place": place, "from": current.digest})
        result = "rolled_back" if back else "taken_out"
        self.metrics.add("easyrec_canary_total", model=model.name, version=current.version, result=result)
        tell(logging.WARNING, "a canary was withdrawn", model=model.name, **describe(current), result=result, why=why)

    def _take_out(self, version: Version, digest: str) -> None:
        """Give it no more requests, as long as it has that bundle."""
        if version.current is not None and version.current.digest == digest:
            version.out = True
            version.rolled_back.add(digest)

    def _last_order(self, model: Model, version: Version, kind: str) -> dict[str, Any] | None:
        """The last order about a version, if it is of that kind."""
        place = model.versions.index(version)
        known = [o for o in self._read() if o["model"] == model.name and o.get("place", place) == place]
        return known[-1] if known and known[-1]["kind"] == kind else None

    def _read(self) -> list[dict[str, Any]]:
        try:
            orders: list[dict[str, Any]] = orjson.loads(self._orders.read_bytes())
        except (OSError, orjson.JSONDecodeError):
            return []
        return [order for order in orders if any(model.name == order["model"] for model in self.models)]

    def _number(self) -> int:
        orders = self._read()
        return orders[-1]["number"] if orders else 0

    def _new_orders(self) -> list[dict[str, Any]]:
        found = [o for o in self._read() if o["number"] > self._followed and o["by"] != os.getpid()]
        self._followed = max((o["number"] for o in found), default=self._followed)
        return found

    def _order(self, order: dict[str, Any]) -> None:
        with self._locked("orders"):
            orders = self._read()[-100:]
            number = orders[-1]["number"] + 1 if orders else 1
            written = self._orders.with_suffix(f".{os.getpid()}")
            written.write_bytes(orjson.dumps([*orders, {**order, "number": number, "by": os.getpid()}]))
            written.replace(self._orders)

    # ------------------------------------------------------------------------------------------------- parts

    def _all(self) -> Iterator[tuple[Model, Version]]:
        for model in self.models:
            for version in model.versions:
                yield model, version

    def _source(self, version: Version) -> str:
        try:
            return self._sources[version][0].bundle().digest
        except FeatureGeneratorError:
            return ""

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        with (self.state / f"{name}.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _tidy(self) -> None:
        """Remove copies that nothing here needs and that are not new."""
        used = {loaded.path for _, v in self._all() for loaded in (v.current, v.previous) if loaded is not None}
        used |= {Path(order["path"]) for order in self._read() if order["kind"] == "rollback"}
        for path in (*self._bundles.iterdir(), *(self.state / "deltas").glob("*")):
            if path not in used and time.time() - path.stat().st_ctime > KEPT_S:
                shutil.rmtree(path, ignore_errors=True)


def _here(path: str | Path) -> Offer:
    """A bundle of our own."""
    return Offer(str(path), "", lambda: Path(path))


def _is_whole(path: Path) -> bool:
    """Whether a bundle has all its files, each of its size."""
    try:
        Bundle.open(path, verify=False)
    except FeatureGeneratorError:
        return False
    return True
