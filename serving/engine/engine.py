"""`Engine`: scenes over one catalogue, with what they share, kept up to date."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from easyrec.errors import ConfigError, DataError, StoreError, nearest
from feature_generator.errors import FeatureGeneratorError
from serving.ab import Experiments
from serving.engine import history
from serving.engine.ask import Ask, Question
from serving.engine.config import EngineConfig, SceneConfig
from serving.engine.history import Event
from serving.engine.listed import Listed
from serving.engine.live import Live
from serving.engine.plan import Plan
from serving.engine.record import Record, event_lines, exposure_lines
from serving.engine.rows import Rows
from serving.engine.shelf import Shelf
from serving.engine.stored import StoredUsers
from serving.engine.world import Watched, World
from serving.server.events import tell
from serving.server.http import Refused
from serving.server.metrics import Labels, Metrics
from serving.server.models import Models
from serving.server.recent import Recent

if TYPE_CHECKING:
    from serving.engine.trace import Trace

MOST_PLANS = 256
"""Scenes with parameters of experiments that are kept compiled."""
KNOWN_EVENTS = 200_000
"""Events whose ids are remembered."""
WAITING = 1000
"""Lists of which a shared history has not been told yet, at most."""
RECENT = 50_000
"""Lists whose variants are remembered for the events that follow them."""
AGAIN_S = 10.0
"""After which parameters are compiled again that could not be: requests do not wait for that each time."""
REPLAYED = 200_000
"""Lines of the event log that fill a history when it starts."""


class Engine:
    """What answers.

    Args:
        config: The engine's.
        models: What scores.
        metrics: What counts.

    Attributes:
        record: Writes lists and events down; None: nobody does.
        is_ready: Whether it answers.
        watched: What takes note of models that are asked, see `World`; None: nobody does.
    """

    def __init__(self, config: EngineConfig, models: Models, metrics: Metrics) -> None:
        self.config, self.models, self.metrics = config, models, metrics
        self.shelf, self.history = Shelf(config.catalogue), history.build(config.history)
        self.experiments = None if config.experiments is None else Experiments.load(config.experiments)
        self.users = None if config.features is None else StoredUsers(config.features, config.user_key)
        self.record = None if config.record is None else Record(config.record, metrics)
        self.is_ready = False
        self.watched: Watched | None = None
        self._world: World | None = None
        self._rows: Rows | None = None
        self._plans: OrderedDict[tuple[str, str], Plan] = OrderedDict()
        self._wrong: OrderedDict[tuple[str, str], tuple[float, str]] = OrderedDict()
        self._lock, self._making = threading.Lock(), threading.RLock()
        self._events: OrderedDict[str, None] = OrderedDict()
        self._variants: Recent[Mapping[str, str]] = Recent(RECENT)
        self._aside, self._room = ThreadPoolExecutor(1, thread_name_prefix="history"), threading.Semaphore(WAITING)
        self._failing = ""

    @property
    def world(self) -> World:
        """What requests share.

        Raises:
            Refused: The catalogue was not read yet.
        """
        if self._world is None:
            raise Refused(503, "starting", "the catalogue is being read", retry_after=1)
        return self._world

    # -------------------------------------------------------------------------------------------- upkeep

    def begin(self, *, strict: bool = False) -> None:
        """Read the catalogue and compile all scenes.

        Args:
            strict: Whether what cannot be made is an error; else it is told in the log, and tried again by `watch`.

        Raises:
            DataError: With `strict`: the catalogue, or what a stage reads, is not as it must be.
        """
        if self.users is not None:
            try:
                self.users.start()
            except StoreError as error:
                if strict:
                    raise
                tell(logging.ERROR, "a feature store cannot be read yet", why=str(error))
        try:
            rows = self.shelf.read()
            live = Live(rows)
            world = World(self.config, self.models, self.history, live)
            world.watched = self.watched or world.watched
            world.check_history(rows)
            plans = {(scene.name, ""): Plan(scene, world, rows, strict=strict) for scene in self.config.scenes}
        except FeatureGeneratorError as error:
            if strict:
                raise
            if str(error) != self._failing:
                self._failing = str(error)
                tell(logging.ERROR, "the engine cannot answer yet", why=str(error))
            return
        with self._lock:
            self._world, self._rows = world, rows
            self._plans = OrderedDict(plans)
        self._replay()
        self._compile_variants()
        self.is_ready = True
        tell(logging.INFO, "the catalogue was read", items=len(rows))

    def variants(self) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
        """The variants of all experiments: the name of each, a scene that it is for, and its parameters."""
        if self.experiments is None:
            return
        for _, experiment in self.experiments.config.experiments.values():
            for scene in self.config.scenes:
                if experiment.scenes is None or scene.name in experiment.scenes:
                    for variant in experiment.variants:
                        yield f"{experiment.name}/{variant.name}", scene.name, variant.parameters

    def _compile_variants(self) -> None:
        """Compile the scenes of all variants, so that the first request of each does not wait for that."""
        for name, scene, parameters in self.variants():
            try:
                self.plan(scene, parameters)
            except FeatureGeneratorError as error:  # noqa: PERF203 (there are few)
                tell(logging.ERROR, "a variant cannot be compiled", variant=name, why=str(error))

    def watch(self) -> None:
        """Follow the catalogue and what stages are made of; called about once a second, in one thread."""
        if not self.is_ready:
            self.begin()
            return
        rows = self.shelf.watch()
        if rows is not None:
            self._change(rows)
        with self._lock:
            plans = list(self._plans.items())
        for key, plan in plans:
            try:
                if plan.refresh():
                    self._swap(key, plan, Plan(plan.scene, self.world, plan.rows))
            except FeatureGeneratorError as error:  # noqa: PERF203 (there are few)
                tell(logging.ERROR, "a scene could not be made anew", scene=plan.scene.name, why=str(error))

    def _swap(self, key: tuple[str, str], former: Plan, plan: Plan) -> None:
        with self._lock:
            if self._plans.get(key) is former:
                self._plans[key] = plan

    def _change(self, rows: Rows) -> None:
        """Answer over another catalogue from now on."""
        begun, world = time.perf_counter(), self.world
        with self._making:
            former = self._rows
            world.live.move(rows)
            try:
                plans = self._over(world, rows)
            except FeatureGeneratorError as error:
                tell(logging.ERROR, "the catalogue that was read again cannot be used", why=str(error))
                if former is not None:
                    world.live.move(former)
                return
            self._wrong.clear()
            with self._lock:
                self._rows, self._plans = rows, OrderedDict(plans)
        seconds = round(time.perf_counter() - begun, 3)
        tell(logging.INFO, "the catalogue was read again", items=len(rows), seconds=seconds)

    def _over(self, world: World, rows: Rows) -> dict[tuple[str, str], Plan]:
        """All scenes over another catalogue; those of parameters that cannot be are left out.

        Raises:
            DataError: A scene as the config has it cannot be.
        """
        plans: dict[tuple[str, str], Plan] = {}
        for key, plan in list(self._plans.items()):
            try:
                plans[key] = Plan(plan.scene, world, rows)
            except FeatureGeneratorError as error:  # noqa: PERF203 (there are few)
                if not key[1]:
                    raise
                tell(logging.ERROR, "a variant cannot be compiled", scene=key[0], why=str(error))
        return plans

    def plan(self, name: str, parameters: Mapping[str, Any] | None = None) -> Plan:
        """A scene, compiled.

        Args:
            name: The scene's; empty: the first one.
            parameters: What an experiment, or who looks what would be, lays over its config.

        Raises:
            Refused: There is no such scene, or nothing answers yet.
            ConfigError: A parameter is wrong.
        """
        try:
            scene = self.config.scene(name)
        except KeyError:
            known = [one.name for one in self.config.scenes]
            told = f"there is no scene '{name[:100]}'{nearest(name, known)}; known: {', '.join(known)}"
            raise Refused(404, "unknown_scene", told, column="scene") from None
        key = (scene.name, _text(parameters))
        with self._lock:
            found = self._plans.get(key)
            if found is not None:
                self._plans.move_to_end(key)
                return found
        world = self.world
        with self._making:
            with self._lock:
                found, rows = self._plans.get(key), self._rows
            if found is not None:
                return found
            assert rows is not None
            made = self._made(key, scene, parameters or {}, world, rows)
            with self._lock:
                self._plans[key] = made
                while len(self._plans) > MOST_PLANS:
                    oldest = next(key for key in self._plans if key[1])  # those without parameters stay
                    del self._plans[oldest]
            return made

    def _made(
        self, key: tuple[str, str], scene: SceneConfig, parameters: Mapping[str, Any], world: World, rows: Rows
    ) -> Plan:
        """A scene under parameters; what cannot be over this catalogue is not tried by every request.

        Raises:
            ConfigError: A parameter is wrong.
        """
        when, known = self._wrong.get(key, (0.0, ""))
        if known and time.monotonic() - when < AGAIN_S:
            raise ConfigError(known)
        self._wrong.pop(key, None)
        try:
            return Plan(self.checked(scene, parameters), world, rows)
        except FeatureGeneratorError as error:
            first = error.problems[0].message if isinstance(error, ConfigError) else f"scene '{scene.name}': {error}"
            self._wrong[key] = (time.monotonic(), first)
            while len(self._wrong) > MOST_PLANS:
                self._wrong.popitem(last=False)
            raise ConfigError(first) from None

    def checked(self, scene: SceneConfig, parameters: Mapping[str, Any]) -> SceneConfig:
        """A scene under parameters.

        Raises:
            ConfigError: A parameter is wrong, or names a model that there is not.
        """
        found = scene.with_parameters(parameters)
        try:
            self.config.check_scene(found)
        except ValueError as error:
            raise ConfigError(f"scene '{scene.name}': {error}") from None
        return found

    # -------------------------------------------------------------------------------------------- requests

    def ask(self, question: Question, deadline: float) -> tuple[Plan, Ask]:
        """A question, ready to be answered. Takes no time, so that there is always something to fall back on.

        Args:
            question: What is asked.
            deadline: When an answer comes too late, by `time.perf_counter`.

        Raises:
            Refused: There is no such scene, or nothing answers yet.
            ConfigError: A parameter is wrong.
        """
        plan = self.plan(question.scene)
        ask = Ask(question, self.world, plan.rows, deadline)
        if self.experiments is not None:
            unit = self.experiments.config.unit
            held = {**question.context, **question.user, self.config.user_key: question.user_id}
            value = held.get(unit)
            if value is not None:
                scene = plan.scene.name
                found = self.experiments.assign(str(value), held, scene=scene, time_ms=float(question.time))
                ask.assignment, ask.variants, ask.parameters = found, found.variants, found.parameters
        if question.parameters:
            ask.parameters = {**ask.parameters, **question.parameters}
        return plan, ask

    def run(self, plan: Plan, ask: Ask, trace: Trace | None = None) -> Listed:
        """The list for a request. May take as long as its stages may; `Plan.fall_back` does not.

        Raises:
            ConfigError: A parameter that came with the question is wrong.
        """
        if ask.parameters:
            try:
                plan = self.plan(plan.scene.name, ask.parameters)
                ask.rows = plan.rows
            except ConfigError as error:
                if ask.question.parameters:
                    raise
                # Each variant by itself was looked at when they were loaded; together they cannot be.
                ask.degraded.append("experiments: parameters")
                tell(logging.ERROR, "variants cannot be combined", why=str(error)[:500], variants=dict(ask.variants))
        if self.users is not None:
            ask.stored = self.users.begin(ask)
        return plan.run(ask, trace)

    def recommend(self, question: Question, trace: Trace | None = None) -> Listed:
        """The list for a question, for those who do not mind to wait for it.

        Raises:
            Refused: There is no such scene, or nothing answers yet.
            ConfigError: A parameter is wrong.
        """
        scene_ms = self.plan(question.scene).scene.deadline_ms
        plan, ask = self.ask(question, time.perf_counter() + scene_ms / 1000.0)
        return self.run(plan, ask, trace)

    def shown(self, listed: Listed, answer: Mapping[str, Any]) -> None:
        """Take note of a list that was answered."""
        asked, candidates, world = listed.ask.question, listed.candidates, self.world
        keys = [item["item_id"] for item in answer["items"]]
        if listed.ask.variants:
            self._variants.put(asked.request_id, listed.ask.variants)
        world.live.show(candidates.rows, listed.plan.rows)
        for stage in listed.plan.reranks:
            try:
                stage.shown(listed.ask, candidates, keys)
            except Exception as error:  # noqa: BLE001, PERF203 (a stage of anybody's: the list is answered all the same)
                world.failed(f"rerank.{stage.config.called}", error)
        record, features = self.record, self.config.record is not None and self.config.record.features

        if self.config.history.shared:
            self._later(lambda: self.history.show(str(asked.user_id), keys, asked.time))
        else:
            self.history.show(str(asked.user_id), keys, asked.time)
        if record is not None:
            record.put("exposures", lambda: exposure_lines(listed, answer, features))

    def _later(self, work: Callable[[], None]) -> None:
        """Do what no client waits for in a thread; where too much waits there it is left out, and told."""
        if not self._room.acquire(blocking=False):
            self.world.failed("history", RuntimeError("too much waits to be written"))
            return

        def run() -> None:
            try:
                work()
            except Exception as error:  # noqa: BLE001 (the process edge: nobody waits for it)
                self.world.failed("history", error)
            finally:
                self._room.release()

        self._aside.submit(run)

    def count(self, listed: Listed, ms: float) -> None:
        """Count a list that was answered, stage by stage.

        Args:
            listed: It.
            ms: How long it took, from the first byte on.
        """
        metrics, scene = self.metrics, listed.plan.scene.name
        head: tuple[tuple[str, str], ...] = (("scene", scene),)
        named: list[tuple[Labels, float]] = [((*head, ("stage", stage)), s) for stage, s in listed.times.items()]
        metrics.observe_all("easyrec_engine_stage_seconds", named)
        for stage, (before, after) in listed.counts.items():
            if before:
                metrics.add("easyrec_engine_items_total", before, scene=scene, stage=stage, way="in")
            metrics.add("easyrec_engine_items_total", after, scene=scene, stage=stage, way="out")
        metrics.add("easyrec_engine_lists_total", scene=scene, whole="no" if listed.degraded else "yes")
        if self.experiments is not None and listed.ask.assignment is not None:
            assigned, shown = listed.ask.assignment, len(listed.candidates)
            self.experiments.served(assigned, ms=ms, degraded=bool(listed.degraded), exposures=shown)
        for told in listed.degraded:
            stage, _, why = told.partition(": ")
            metrics.add("easyrec_engine_degraded_total", scene=scene, stage=stage, why=why)

    def failed(self, ask: Ask, ms: float) -> None:
        """Tell the guardrails of a request that ended in an error."""
        if self.experiments is not None and ask.assignment is not None:
            self.experiments.served(ask.assignment, ms=ms, failed=True)

    # ---------------------------------------------------------------------------------------------- events

    def take(self, events: Sequence[Event], posted: Sequence[Mapping[str, Any]]) -> int:
        """Take note of what users did.

        Args:
            events: What, validated.
            posted: The same, as it is to be written down.

        Returns:
            How many were new; those that came before are passed over.
        """
        new = []
        with self._lock:
            for number, event in enumerate(events):
                if event.event_id not in self._events:
                    self._events[event.event_id] = None
                    new.append(number)
            while len(self._events) > KNOWN_EVENTS:
                self._events.popitem(last=False)
        fresh = [events[number] for number in new]
        self._learn(fresh)
        if self.record is not None and new:
            written = [posted[number] for number in new]
            self.record.put("events", lambda: event_lines(written))
        for event in fresh:
            self.metrics.add("easyrec_engine_events_total", type=event.type)
            if self.experiments is not None and self.experiments.config.unit == self.config.user_key:
                known = self._variants.get(event.request_id)
                if known is None:  # of another process, or of none: those that the user is in now
                    known = self.experiments.assign(str(event.user_id), time_ms=float(event.time)).variants
                self.experiments.happened(str(event.user_id), known, event.type)
        return len(new)

    def _learn(self, events: Sequence[Event], *, again: bool = False) -> None:
        """What recall and filters read from now on."""
        weights = self.config.events
        liked = [event for event in events if weights.get(event.type)]
        if not liked:
            return
        kept = [(str(e.user_id), e.item_id, e.time, weights[e.type]) for e in liked]
        if not (again and self.config.history.shared):
            try:
                self.history.add(kept)
            except Exception as error:  # noqa: BLE001 (what was posted is written down all the same)
                self.world.failed("history", error)
        self.world.live.take([one[1] for one in kept], [one[2] for one in kept], [one[3] for one in kept])
        with self._lock:
            stages = [stage for plan in self._plans.values() for stage in plan.reranks]
        learned = {id(stage.memory): stage for stage in stages if stage.memory is not None}
        for stage in learned.values():
            try:
                for event in liked:
                    stage.happened(event.request_id, event.item_id, weights[event.type])
            except Exception as error:  # noqa: BLE001, PERF203 (a stage of anybody's: what was posted is written down)
                self.world.failed(f"rerank.{stage.config.called}", error)

    def _replay(self) -> None:
        """Fill what only memory holds from the newest files of the record."""
        if self.config.record is None:
            return
        folder, lines = Path(self.config.record.path), list[bytes]()
        for path in sorted(folder.glob("events-*.jsonl"), reverse=True):
            try:
                lines = path.read_bytes().splitlines() + lines
            except OSError:
                continue
            if len(lines) >= REPLAYED:
                break
        found: list[Event] = []
        names = {"event_id", "type", "user_id", "item_id", "time", "request_id", "value"}
        for line in lines[-REPLAYED:]:
            try:
                event = Event(**{key: value for key, value in orjson.loads(line).items() if key in names})
            except (TypeError, ValueError, AttributeError):
                continue
            if event.event_id not in self._events:
                self._events[event.event_id] = None
                found.append(event)
        try:
            self._learn(found, again=True)
        except DataError as error:
            tell(logging.WARNING, "the event log could not be read again", why=str(error))

    def close(self) -> None:
        """Let go of everything."""
        self._aside.shutdown()
        if self.record is not None:
            self.record.close()
        self.history.close()
        if self.experiments is not None:
            self.experiments.close()
        if self.users is not None:
            self.users.close()
        if self._world is not None:
            self._world.close()


def _text(parameters: Mapping[str, Any] | None) -> str:
    return orjson.dumps(dict(parameters), option=orjson.OPT_SORT_KEYS).decode() if parameters else ""
