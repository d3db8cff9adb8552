"""Days of a world: people ask, a policy answers, people click, and the policy is told."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from easyrec.data.shop.draws import Draws
from easyrec.errors import RunError
from easyrec.simulate.config import SimulateConfig
from easyrec.simulate.events import Clicks, Pending
from easyrec.simulate.figures import Figures
from easyrec.simulate.history import History
from easyrec.simulate.policy import Policy, PopularPolicy
from easyrec.simulate.recorder import Recorder
from easyrec.simulate.world import Requests, World

Told = Callable[[int, int], None]
"""Is told how many requests of how many of a day are done."""


class Simulation:
    """A world and what has happened in it.

    Who asks when, and what each would click, does not depend on what was shown before, but for what users are tired of: two
    policies meet the same requests.

    Args:
        config: The simulation.
        world: Its world, where it is there already.
    """

    def __init__(self, config: SimulateConfig, world: World | None = None) -> None:
        self.config = config
        self.world = world or World(config.world)
        self.history = History(len(self.world.users))
        self.pending = Pending()
        self._measured = Draws("simulate", 1, config.world.seed, "measured")
        self._begun: tuple[float, int] | None = None

    def run_day(
        self,
        day: int,
        policy: Policy,
        *,
        requests: int | None = None,
        recorder: Recorder | None = None,
        progress: Told | None = None,
    ) -> dict[str, Any]:
        """Let a day pass.

        Args:
            day: Which; days come in order.
            policy: Who answers.
            requests: How many people ask; default: `drive.requests_per_day`.
            recorder: Writes down what is shown and what follows.
            progress: Is told how far it is.

        Returns:
            The figures of the day.
        """
        drive = self.config.drive
        asked = self.world.requests(day, drive.requests_per_day if requests is None else requests)
        figures = Figures(self.world, day)
        for rows in batches(asked, drive.batch):
            self._batch(asked[rows], policy, figures, recorder)
            if progress is not None:
                progress(rows.stop, len(asked))
        return figures.row()

    def finish(self, policy: Policy, recorder: Recorder | None = None) -> None:
        """Tell what is still on its way."""
        self._tell(self.pending.due(), policy, recorder)

    def save(self, path: Path, days: Sequence[Mapping[str, Any]] = (), policy: Policy | None = None) -> None:
        """Keep what has happened, so that a later process goes on.

        Args:
            path: The file.
            days: The figures of the days that are over: kept with what happened on them, so that no day is passed twice.
            policy: Who answers; what it has learned is kept too.

        Raises:
            RunError: The disk refuses; a former file stays.
        """
        events = {f"event_{name}": column for name, column in vars(self.pending.events).items()}
        partial = path.with_name(f".{path.name}.writing")
        try:
            with partial.open("wb") as file:
                columns: dict[str, Any] = {"digest": self._digest(), **self.history.state(), **events}
                columns["days"] = np.frombuffer(json.dumps(list(days)).encode(), dtype=np.uint8)
                if isinstance(policy, PopularPolicy):
                    columns |= {f"policy_{name}": values for name, values in policy.state().items()}
                np.savez(file, **columns)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except OSError as error:
            raise RunError(f"cannot write {path}: {error.strerror or error}") from error

    def load(self, path: Path, policy: Policy | None = None) -> list[dict[str, Any]]:
        """Know what `save` kept; gives the figures of the days that are over.

        Args:
            path: The file.
            policy: Who answers: it learns again what it had learned.

        Raises:
            RunError: It is damaged, or of another world.
        """
        try:
            with np.load(path, allow_pickle=False) as kept:
                columns = {name: kept[name] for name in kept.files}
            if not np.array_equal(columns.pop("digest"), self._digest()):
                raise RunError(f"{path} is of another world: begin anew, with --overwrite")
            self.history.restore({name: columns[name] for name in ("item", "time", "count")})
            self.pending.events = Clicks(**{name: columns[f"event_{name}"] for name in vars(Clicks.none())})
            if isinstance(policy, PopularPolicy):
                policy.restore({name: columns[f"policy_{name}"] for name in policy.state()})
            days: list[dict[str, Any]] = json.loads(columns["days"].tobytes())
            return days
        except (OSError, ValueError, KeyError) as error:
            raise RunError(f"{path} is damaged: {error}") from error

    def _digest(self) -> np.ndarray:
        """The world as numbers that can be compared."""
        return np.frombuffer(json.dumps(self.config.world.model_dump(mode="json")).encode(), dtype=np.uint8)

    def _batch(self, requests: Requests, policy: Policy, figures: Figures, recorder: Recorder | None) -> None:
        now = int(requests.time[0])
        self._tell(self.pending.due(now), policy, recorder)
        self._pace(now)
        size = self.config.drive.size
        answers = policy.recommend(requests, size)
        responses = self.world.respond(requests, answers.items, self.history)
        expected = self.world.truth(requests, answers.items, self.history)
        measured = np.flatnonzero(self._measured.at(requests.number) < self.config.drive.oracle)
        _, oracle = self.world.best(requests[measured], size, self.history)
        if recorder is not None:
            recorder.exposures(requests, answers)
        figures.add(requests, answers, responses, expected, measured, oracle)
        events = Clicks.of(requests, answers.items, responses)
        self.pending.add(events)
        clicks = events[events.kind == 0]
        clicks = clicks[np.argsort(clicks.time, kind="stable")]
        self.history.add(clicks.user, clicks.time, clicks.item)

    def _tell(self, events: Clicks, policy: Policy, recorder: Recorder | None) -> None:
        if not len(events):
            return
        policy.observe(events)
        if recorder is not None:
            recorder.events(events)

    def _pace(self, now: int) -> None:
        """Wait until a simulated time has come, where simulated time has a speed."""
        if not self.config.drive.speed:
            return
        if self._begun is None:
            self._begun = time.monotonic(), now
        begun, first = self._begun
        due = begun + (now - first) / 1000.0 / self.config.drive.speed
        time.sleep(max(due - time.monotonic(), 0.0))


def batches(requests: Requests, size: int) -> list[slice]:
    """Runs of at most `size` requests in which no user asks twice: what follows one list comes before the next."""
    found, low, users = [], 0, set[int]()
    for row, user in enumerate(requests.user.tolist()):
        if row - low == size or user in users:
            found.append(slice(low, row))
            low, users = row, set()
        users.add(user)
    return [*found, slice(low, len(requests))] if len(requests) else []
