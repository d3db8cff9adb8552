"""A run of the simulator: a folder with the figures of each day, and a page to look at."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from easyrec.durable import write_text
from easyrec.errors import RunError
from easyrec.simulate.bootstrap import write_table
from easyrec.simulate.client import EnginePolicy
from easyrec.simulate.config import PolicyConfig, SimulateConfig
from easyrec.simulate.page import simulate_page
from easyrec.simulate.policy import Policy, build_policy
from easyrec.simulate.recorder import Recorder
from easyrec.simulate.simulation import Simulation

METRICS, STATE, REPORT, CONFIG = "metrics.jsonl", "state.npz", "report.html", "config.yaml"

Told = Callable[[int, int, int], None]
"""Is told the day, and how many requests of how many are done."""


def simulate(
    config: SimulateConfig,
    folder: Path,
    *,
    policy: PolicyConfig | None = None,
    resume: bool = False,
    overwrite: bool = False,
    log: bool = False,
    days: int | None = None,
    patience_s: float = 0.0,
    progress: Told | None = None,
    after_day: Callable[[dict[str, Any]], None] | None = None,
) -> list[dict[str, Any]]:
    """Let days pass, and write what they were like.

    Args:
        config: The simulation.
        folder: Where its figures go.
        policy: Answers in the place of an engine.
        resume: Go on after the last day that is whole.
        overwrite: Begin anew.
        log: Write down what is shown and what follows, in the folder's `logs`; an engine does so itself.
        days: How many days at most are passed now.
        patience_s: How long to wait for the engine to be there.
        progress: Is told how far it is.
        after_day: Is told the figures of each day that is over.

    Returns:
        The figures of all days.

    Raises:
        RunError: The folder holds a run, or none to go on with; there is no engine; or the disk refuses.
    """
    done: list[dict[str, Any]] = _begin(config, folder, resume=resume, overwrite=overwrite)
    simulation = Simulation(config)
    world = simulation.world
    name = "engine" if policy is None else policy.type
    engine = EnginePolicy(world, config.drive, config.name) if policy is None else None
    try:
        asked: Policy
        if engine is not None:
            engine.check(patience_s)
            asked = engine
        else:
            asked = build_policy(world, policy or PolicyConfig(), simulation.history)
        if done:
            # Whoever was killed between the two files had passed the day.
            done = simulation.load(folder / STATE, asked)
            write_text(folder / METRICS, "".join(json.dumps(row) + "\n" for row in done))
        first = len(done)
        until = config.world.days if days is None else min(first + days, config.world.days)
        for day in range(first, until):
            _catalogue(config, simulation, day)
            recorder = Recorder(world, folder / "logs", f"{config.name}-day{day}") if log else None
            told = None if progress is None else _of_day(progress, day)
            begun = time.monotonic()
            figures = simulation.run_day(day, asked, recorder=recorder, progress=told)
            if day + 1 == config.world.days:
                simulation.finish(asked, recorder)
            if recorder is not None:
                recorder.close()
            figures["seconds"] = round(time.monotonic() - begun, 2)
            if engine is not None and engine.events_failed:
                figures["events_failed"], engine.events_failed = engine.events_failed, 0
            done.append(figures)
            simulation.save(folder / STATE, done, asked)
            write_text(folder / METRICS, "".join(json.dumps(row) + "\n" for row in done))
            write_text(folder / REPORT, simulate_page(config, name, done))
            if after_day is not None:
                after_day(figures)
    finally:
        if engine is not None:
            engine.close()
    return done


def _begin(config: SimulateConfig, folder: Path, *, resume: bool, overwrite: bool) -> list[dict[str, Any]]:
    """The days that are done already."""
    there = (folder / METRICS).exists()
    if there and not (resume or overwrite):
        raise RunError(f"{folder} holds a simulation: --resume goes on with it, --overwrite begins anew")
    folder.mkdir(parents=True, exist_ok=True)
    written = {**config.model_dump(mode="json"), "drive": config.drive.model_dump(mode="json", exclude={"token"})}
    write_text(folder / CONFIG, yaml.safe_dump(written, sort_keys=False))
    if not there or not resume:
        for name in (METRICS, STATE, REPORT):
            (folder / name).unlink(missing_ok=True)
        return []
    try:
        lines = (folder / METRICS).read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]
    except ValueError as error:
        raise RunError(f"{folder / METRICS} is damaged: {error}") from error


def _catalogue(config: SimulateConfig, simulation: Simulation, day: int) -> None:
    """Write the items of a day into the engine's catalogue file, and give it time to read them."""
    drive = config.drive
    if drive.items is None or (day and not config.world.new_items_per_day):
        return
    world = simulation.world
    write_table(Path(drive.items), world.items.table(world.clock.begin(day)))
    time.sleep(drive.wait_s)


def _of_day(progress: Told, day: int) -> Callable[[int, int], None]:
    return lambda done, of: progress(day, done, of)
