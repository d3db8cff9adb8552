"""Everything a system without users begins with: a catalogue, a first log, rows to train on, and the configs to do it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from easyrec.data.shop.draws import Ints
from easyrec.durable import write_text
from easyrec.errors import RunError
from easyrec.simulate.clock import Clock
from easyrec.simulate.config import SimulateConfig
from easyrec.simulate.events import Clicks
from easyrec.simulate.first_configs import STEPS, first_configs
from easyrec.simulate.policy import Answers, Policy, build_policy
from easyrec.simulate.recorder import Recorder
from easyrec.simulate.simulation import Simulation
from easyrec.simulate.users import names_of
from easyrec.simulate.world import Requests, World

LOG = "first"
"""Ends the names of the log's files, and begins its request ids."""
ITEMS, USERS, TRAIN, VALID = "items.parquet", "users.parquet", "train.parquet", "valid.parquet"
TAKEN, TAKEN_VALID = "taken.parquet", "taken_valid.parquet"
"""What was clicked of the rows of training and of validation."""


@dataclass(frozen=True)
class Made:
    """What a folder got.

    Attributes:
        folder: Where.
        days: The figures of each day.
        rows: Rows of each parquet file.
        configs: The YAML files, in the order in which they are used.
    """

    folder: Path
    days: list[dict[str, Any]]
    rows: dict[str, int]
    configs: list[Path]


class Kept:
    """A policy whose answers are kept, with all that is told to it.

    Args:
        policy: The policy.

    Attributes:
        requests: Who asked, in batches.
        answers: What was shown to them.
        events: What followed.
    """

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.requests: list[Requests] = []
        self.answers: list[Answers] = []
        self.events: list[Clicks] = []

    def recommend(self, requests: Requests, size: int) -> Answers:
        """What the policy answers."""
        answers = self.policy.recommend(requests, size)
        self.requests.append(requests)
        self.answers.append(answers)
        return answers

    def observe(self, clicks: Clicks) -> None:
        """Tell the policy."""
        self.events.append(clicks)
        self.policy.observe(clicks)


def bootstrap(
    config: SimulateConfig,
    folder: Path,
    *,
    overwrite: bool = False,
    progress: Callable[[int, int, int], None] | None = None,
) -> Made:
    """Let the days before day 0 pass under a simple policy, and write what they leave.

    Args:
        config: The simulation.
        folder: Where to.
        overwrite: Write over what is there.
        progress: Is told the day, and how many requests of how many are done.

    Raises:
        RunError: The folder holds a world already, or the disk refuses.
    """
    if (folder / ITEMS).exists() and not overwrite:
        raise RunError(f"{folder} holds a world already: --overwrite writes over it")
    folder.mkdir(parents=True, exist_ok=True)
    simulation = Simulation(config)
    world, first = simulation.world, config.bootstrap
    policy = Kept(build_policy(world, first.policy, simulation.history))
    recorder = Recorder(world, folder / "logs", LOG, config.drive.scene or "feed")
    days = []
    for day in range(-first.days, 0):
        told = None if progress is None else _of_day(progress, day)
        days.append(simulation.run_day(day, policy, requests=first.requests_per_day, recorder=recorder, progress=told))
    simulation.finish(policy, recorder)
    recorder.close()
    samples = sample_table(world, policy.requests, policy.answers, policy.events)
    last = world.clock.begin(-1)
    newest = samples["time"].to_numpy() >= last
    train = samples.filter(pa.array(~newest)) if first.days > 1 else samples
    valid = samples.filter(pa.array(newest))
    tables = {
        ITEMS: world.items.table(world.clock.start - 1),
        USERS: world.users.table(),
        TRAIN: train,
        VALID: valid,
        TAKEN: train.filter(pc.field("click") == 1),
        TAKEN_VALID: valid.filter(pc.field("click") == 1),
    }
    for name, table in tables.items():
        write_table(folder / name, table)
    configs = []
    for name, text in first_configs(config).items():
        write_text(folder / name, text)
        configs.append(folder / name)
    return Made(folder, days, {name: table.num_rows for name, table in tables.items()}, configs)


def _of_day(progress: Callable[[int, int, int], None], day: int) -> Callable[[int, int], None]:
    return lambda done, of: progress(day, done, of)


def write_table(path: Path, table: pa.Table) -> None:
    """Write a parquet file, all of it or nothing.

    Raises:
        RunError: The disk refuses; a former file stays.
    """
    partial = path.with_name(f".{path.name}.writing")
    try:
        pq.write_table(table, partial)
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise RunError(f"cannot write {path}: {error.strerror or error}") from error


def sample_table(world: World, requests: list[Requests], answers: list[Answers], events: list[Clicks]) -> pa.Table:
    """One row per item shown, with what followed: what a joiner of the logs makes of them.

    Args:
        world: The world.
        requests: Who asked, in batches.
        answers: What was shown to them.
        events: What followed.

    Returns:
        The columns of user, item and request, `position` from 0, `propensity`, and the labels `click` and `buy`.
    """
    numbers = np.concatenate([part.number for part in requests])
    users = np.concatenate([part.user for part in requests])
    times = np.concatenate([part.time for part in requests])
    lists = np.concatenate([part.items for part in answers])
    chances = [part.propensity for part in answers]
    row, place = np.nonzero(lists >= 0)
    item, user, time = lists[row, place], users[row], times[row]
    happened = Clicks.joined(*events) if events else Clicks.none()
    labels = []
    for kind in (0, 1):
        one = happened[happened.kind == kind]
        labels.append(np.isin(_key(numbers[row], item), _key(one.number, one.item)).astype(np.int64))
    clicks = happened[happened.kind == 0]
    past = _past(clicks, users, times)
    known = world.users.table().drop_columns(["user_id"])
    about = world.items.table().drop_columns(["item_id"])
    propensity = [] if any(part is None for part in chances) else [part for part in chances if part is not None]
    return pa.table(
        {
            "request_id": numbers[row],
            "user_id": names_of(user),
            "item_id": item,
            "time": time,
            "position": place,
            **{name: known[name].take(user) for name in known.column_names},
            **{name: about[name].take(item) for name in about.column_names},
            "clicked_item": _lists(clicks.item, past, row),
            "clicked_cate": _lists(world.items.cate[clicks.item], past, row),
            "hour": Clock.hour(time),
            "weekday": Clock.weekday(time),
            **({"propensity": np.concatenate(propensity)[row, place]} if propensity else {}),
            "click": labels[0],
            "buy": labels[1],
        }
    )


def _past(clicks: Clicks, user: Ints, time: Ints) -> Ints:
    """(n, STEPS) which clicks requests know of their users, the oldest first; -1 where there are fewer."""
    order = np.lexsort((clicks.told, clicks.user))
    both = np.concatenate([clicks.told[order], time])
    rank = np.unique(both, return_inverse=True)[1].ravel()  # times as small numbers, so that (user, time) fits in one
    key = clicks.user[order] * (len(both) + 1) + rank[: len(order)]
    asked = user * (len(both) + 1) + rank[len(order) :]
    end = np.searchsorted(key, asked, side="right")
    start = np.searchsorted(clicks.user[order], user, side="left")
    place = end[:, None] - STEPS + np.arange(STEPS)
    return np.where(place >= start[:, None], order[np.maximum(place, 0)] if len(order) else -1, -1)


def _lists(values: Ints, past: Ints, row: Ints) -> pa.Array:
    """The values of clicks that rows know, as lists."""
    found = past[row]
    offsets = np.concatenate([[0], np.cumsum((found >= 0).sum(axis=1))])
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(values[found[found >= 0]]))


def _key(number: Ints, item: Ints) -> Ints:
    return number * 16_777_216 + item
