"""`EngineService`: an engine behind HTTP. A request always answers: what takes too long is left out."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from easyrec.errors import ConfigError
from serving.engine.ask import Question
from serving.engine.config import EngineConfig
from serving.engine.engine import Engine
from serving.engine.listed import Listed
from serving.engine.models import engine_models
from serving.engine.plan import RESERVE_S
from serving.engine.trace import Trace
from serving.server.columns import Question as ModelQuestion
from serving.server.events import tell
from serving.server.http import Refused, Request
from serving.server.models import Loaded, Model
from serving.server.service import Service

WARM = 5
"""Lists of each scene that are made before the first request."""


class EngineService(Service):
    """What the endpoints work with.

    Args:
        config: The engine's.
        state: Folder that the processes of the server share.
    """

    def __init__(self, config: EngineConfig, state: Path) -> None:
        super().__init__(engine_models(config), state)
        self.engine = Engine(config, self.models, self.metrics)
        self.engine.watched = self._watched

    @property
    def loaded(self) -> bool:
        """Whether all models answer and the catalogue was read."""
        return super().loaded and self.engine.is_ready

    def begin(self) -> None:
        """Load the models, then what the scenes are made of."""
        super().begin()
        self.engine.begin()
        self._warm()

    def _warm(self) -> None:
        """Make some lists that nobody gets, so that the first one that somebody gets is as fast as the others."""
        if not self.loaded:
            return
        for scene in self.engine.config.scenes:
            for number in range(WARM):
                self._warm_up(Question(scene.name, "warm", request_id=f"warm-{number}"))
            for source in self.engine.plan(scene.name).sources:
                if source.lane is not None:
                    source.lane.breaker.succeeded()  # the first answers are late, which says nothing of the next

    def _warm_up(self, question: Question) -> None:
        try:
            self.engine.recommend(question)
        except Refused:
            pass
        except Exception as error:  # noqa: BLE001 (the process edge: who asks for real is told of it)
            tell(logging.ERROR, "a list could not be made ahead", error, scene=question.scene)

    def watch(self) -> None:
        """Follow what has changed."""
        super().watch()
        try:
            self.engine.watch()
        except Exception as error:  # noqa: BLE001 (the process edge: what was there goes on)
            tell(logging.ERROR, "the engine could not follow what has changed", error)

    async def stop(self) -> None:
        """Let go of everything."""
        await super().stop()
        self.engine.close()

    @contextmanager
    def _watched(
        self, model: Model, loaded: Loaded, named: bool
    ) -> Iterator[Callable[[ModelQuestion, Mapping[str, Any]], None]]:
        """Canaries, shadows, drift and the request log, as of a model that is asked by itself."""
        trials = self.keeper.trials

        def answered(question: ModelQuestion, scores: Mapping[str, Any]) -> None:
            self._after(model, loaded, question, dict(scores))
            if not named:
                trials.answered(model, loaded, dict(scores))

        with trials.watching(model, loaded, named=named):
            yield answered

    async def trace(self, request: Request, question: Question, most: int, about: Sequence[Any] = ()) -> dict[str, Any]:
        """How a list for a question would come about; it counts as shown to nobody.

        Raises:
            Refused: There is no such scene, a parameter is wrong, or the server starts or ends.
        """
        self.admission.check()
        engine, trace = self.engine, Trace()

        def work() -> dict[str, Any]:
            try:
                engine.recommend(question, trace)
            except ConfigError as error:
                raise Refused(400, "parameters", str(error)) from None
            return trace.told(most, about)

        told, _ = await self.admission.run(work, request.deadline)
        return told

    async def recommend(self, request: Request, question: Question) -> dict[str, Any]:
        """A list for a question, within its time.

        Raises:
            Refused: There is no such scene, or the server starts or ends.
        """
        if not self.admission.open:
            raise Refused(503, self.admission.why, f"the server is {self.admission.why}", retry_after=1, close=True)
        engine = self.engine
        try:
            scene_ms = engine.plan(question.scene).scene.deadline_ms
            plan, ask = engine.ask(question, min(request.deadline, request.started + scene_ms / 1000.0))
        except ConfigError as error:
            raise Refused(400, "parameters", str(error)) from None
        request.model = plan.scene.name
        listed: Listed
        try:
            listed, waited = await self.admission.run(partial(engine.run, plan, ask), ask.deadline - RESERVE_S / 2.0)
            request.times["queue"] = waited
        except Refused as refused:
            if refused.status not in (429, 504):
                raise
            listed = plan.fall_back(ask, "queue: full" if refused.status == 429 else "request: deadline")
        except Exception:
            engine.failed(ask, 1000.0 * (time.perf_counter() - request.started))
            raise
        begun = time.perf_counter()
        answer = listed.answer()
        engine.shown(listed, answer)
        engine.count(listed, 1000.0 * (begun - request.started))
        request.times["write"] = time.perf_counter() - begun
        answer["ms"] = round(1000.0 * (time.perf_counter() - request.started), 3)
        return answer
