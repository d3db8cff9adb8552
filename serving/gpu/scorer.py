"""A bundle's programs and tables on a device."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np
import torch

from easyrec.device import described, open_device
from easyrec.embedding.served_on_device import DeviceLookup, DeviceTables, no_room
from easyrec.embedding.sides import ITEM, USER, SidesReader, side_plans
from easyrec.errors import BundleError, ConfigError, Problem
from easyrec.export.bundle import Bundle
from easyrec.export.calls import Program
from easyrec.export.manifest import Manifest
from easyrec.export.placed import in_bf16, on_device, uncapturable
from easyrec.export.program import example
from easyrec.export.requests import request_example
from serving.gpu.config import DeviceConfig
from serving.gpu.feed import ROWS, Feed, Sizes, feed_of, feed_on_device
from serving.gpu.padding import noticed
from serving.gpu.placement import CPU, THERE, Placement, Way, measure_all, timed_sizes
from serving.gpu.session import Job, SessionGroup

if TYPE_CHECKING:
    from easyrec.embedding.reader import TableReader
    from feature_generator import Table

logger = logging.getLogger("serving")

Predictions: TypeAlias = dict[str, np.ndarray]
RUNTIME = "torch_export"
"""What runs on a device; every bundle has it."""
TOLERANCE = 1e-5
"""How much further scores in fp32 may lie from the trained ones than on a processor: a device adds up in another order."""
BATCHES, REQUESTS = "rows", "requests"
TRIES = 3
"""Random inputs by which it is told what may be padded."""
TWICE, OFTEN = 2, 20
"""How often sizes must come until they get a graph: padded ones, and others, of which there are many."""


class OnProcessor(Protocol):
    """What scores requests on the processor."""

    tiled: bool
    reads: set[str]
    by_row: bool
    summed: bool

    def of_user(self, once: Table) -> Predictions:
        """What the program reads of the user's side."""
        ...

    def of_items(self, each: Table) -> Predictions:
        """What the program reads of the candidates."""
        ...

    def run(self, inputs: Mapping[str, np.ndarray]) -> Predictions:
        """What the program says of both."""
        ...

    @property
    def out_of_range(self) -> int:
        """How many ids lay outside their table."""
        ...

    def __call__(self, once: Table, each: Table) -> Predictions:
        """What the program says of the candidates of a request."""
        ...


@dataclass(frozen=True)
class DeviceStats:
    """What runs where, and how often.

    Attributes:
        device: As people know it.
        precision: Of the products of matrices.
        tables: Where they are looked up for requests that run on the device.
        table_mb: Memory that they take there.
        eager: By program, why it runs without a graph.
        exact: By program, sizes that are not padded, as that would change scores; each size has a graph of its own.
        graphs: How many are captured, in all sessions.
        placement: By program and number of rows, where it runs.
        milliseconds: By program and number of rows, what each way took when that was measured.
        answered: How many were answered by a `graph`, `eager` on the device, and by the `cpu`.
    """

    device: str
    precision: str
    tables: str
    table_mb: float
    eager: Mapping[str, str]
    exact: Mapping[str, list[str]]
    graphs: int
    placement: Mapping[str, Mapping[int, Way]]
    milliseconds: Mapping[str, Mapping[int, Mapping[Way, float]]]
    answered: Mapping[str, int]


@dataclass
class _Placed:
    """A program on the device, and how its inputs are made."""

    program: Program
    placement: Placement
    eager: str = ""
    exact: frozenset[str] = frozenset()
    lookups: dict[str, DeviceLookup] = field(default_factory=dict)


class DeviceScorer:
    """Scores on a device, or on the processor where that is sooner. Safe to use from several threads.

    Until `settle` everything runs on the device, so that the replay of the warm-up rows proves that.

    Args:
        bundle: What is served.
        config: How.
        device: Where.
        tables: The bundle's tables.
        dense: What runs its program on the processor.
        split: What scores requests there; None: they are scored as rows are.

    Attributes:
        tolerance: How far scores may lie from the trained ones; None: as far as the processor's.
        split: What scores requests on the device; None where there is none.

    Raises:
        BundleError: The bundle does not say how exact it must be in this precision.
        ConfigError: The tables must be on the device and do not fit.
    """

    def __init__(
        self,
        bundle: Bundle,
        config: DeviceConfig,
        device: torch.device,
        tables: TableReader,
        dense: Callable[[Mapping[str, np.ndarray]], Predictions],
        split: OnProcessor | None,
    ) -> None:
        self.bundle, self.config, self.device = bundle, config, device
        self.tolerance: float | None = _tolerance(bundle.manifest, config)
        self._reader, self._dense, self._on_cpu = tables, dense, split
        self._group = SessionGroup(device, config.sessions)
        self._tables = self._open_tables()
        usual: Way = "gpu" if self._tables is None else THERE
        self._answered_here, self._counting = 0, threading.Lock()
        manifest = bundle.manifest
        folder = manifest.runtimes[RUNTIME].folder
        self._programs = {BATCHES: self._place(BATCHES, Program.load(bundle.folder(folder)), usual)}
        if self._tables is not None:
            self._programs[BATCHES].lookups = {"": DeviceLookup(tables, tables.plan, self._tables)}
        self.split: DeviceSplit | None = None
        if split is not None and manifest.split is not None:
            entry = manifest.split
            self._sides = SidesReader(tables, set(entry.user), entry.apart, entry.folded)
            placed = self._place(REQUESTS, Program.load(bundle.folder(entry.folder)), usual)
            if self._tables is not None:
                user, item = side_plans(tables.plan, set(entry.user), entry.apart, entry.folded)
                placed.lookups = {
                    USER: DeviceLookup(tables, user, self._tables),
                    ITEM: DeviceLookup(tables, item, self._tables),
                }
            self._programs[REQUESTS] = placed
            self.split = DeviceSplit(self, split)

    # ------------------------------------------------------------------------------------------------ loading

    def _open_tables(self) -> DeviceTables | None:
        if self.config.tables == "cpu":
            return None
        why = no_room(self._reader, self.device, self.config.memory_mb)
        if not why:
            return DeviceTables(self._reader, self.device)
        if self.config.tables == "gpu":
            raise ConfigError([Problem(f"{self.bundle.path}: {why}", "device.tables")])
        logger.info("%s: tables stay with the processor: %s", self.bundle.path, why)
        return None

    def _place(self, name: str, program: Program, usual: Way) -> _Placed:
        """A program on the device, with what its inputs can be padded to."""
        exactly = on_device(program, self.device)
        eager = uncapturable(program) if self.config.graphs else "graphs are off"
        exact = frozenset() if eager else self._unpadded(name, exactly)
        placed = exactly if self.config.precision == "fp32" else on_device(in_bf16(program), self.device)
        return _Placed(placed, Placement(usual), eager, exact)

    def _unpadded(self, name: str, program: Program) -> frozenset[str]:
        """Sizes of a program's inputs that may not be padded."""
        feeds = [feed_of(self._example(name, seed), program.inputs) for seed in range(TRIES)]

        def run(feed: Feed, sizes: Sizes) -> Predictions:
            return self._group.run(self._job(name, program, feed, sizes))

        return noticed(run, feeds, TOLERANCE)

    def _example(self, name: str, seed: int) -> dict[str, np.ndarray]:
        """Random inputs."""
        manifest = self.bundle.manifest
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            if name == REQUESTS:
                assert manifest.split is not None
                tensors = request_example(self._reader.plan, manifest.split)
            else:
                tensors = example(self._reader.plan.layouts)
        return {key: tensor.numpy() for key, tensor in tensors.items()}

    def settle(self, batch: Callable[[int], Table], request: Callable[[int], tuple[Table, Table]]) -> None:
        """Time the ways that a request can go, and choose among them; capture graphs for requests of the usual size.

        Args:
            batch: Makes so many rows.
            request: Makes what a request has once, and so many candidates.
        """
        usual = self.bundle.manifest.request.get("items", 1)
        ways: list[Way] = [CPU, "gpu", *([THERE] if self._tables is not None else [])]
        choice = self.config.dense == "auto"
        if choice or (self.config.tables == "auto" and self._tables is not None):
            sizes = timed_sizes(usual, self.config.graph_rows) if choice else [usual]
            for name, placed in self._programs.items():
                calls = partial(self._ways, name, ways, batch=batch, request=request)
                placed.placement.milliseconds = measure_all(sizes, ways, calls)
        self._choose_tables(usual)
        ways = [way for way in ways if way != (THERE if self._tables is None else "gpu")]
        for placed in self._programs.values():
            placed.placement.usual = ways[1]
            if self.config.dense == "auto":
                placed.placement.choose(ways)
        self._warm(usual, batch, request)
        self._group.forget_counts()
        self._answered_here = 0

    def _ways(
        self,
        name: str,
        ways: Collection[Way],
        size: int,
        batch: Callable[[int], Table],
        request: Callable[[int], tuple[Table, Table]],
    ) -> dict[Way, Callable[[], Predictions]]:
        if name == BATCHES:
            rows = batch(size)
            return {way: partial(self._rows_by, way, rows) for way in ways}
        once, each = request(size)
        return {way: partial(self._request_by, way, once, each) for way in ways}

    def _choose_tables(self, usual: int) -> None:
        """Let go of the tables on the device where requests of the usual size are answered sooner without."""
        if self._tables is None or self.config.tables == "gpu":
            return
        timed = self._programs[REQUESTS if REQUESTS in self._programs else BATCHES].placement.milliseconds
        times = timed[min(timed, key=lambda size: abs(size - usual))]
        if times["gpu"] <= times[THERE]:
            self._tables = None
            for placed in self._programs.values():
                placed.lookups = {}
            self._group = SessionGroup(self.device, self.config.sessions)  # graphs hold the tables too

    def _warm(self, usual: int, batch: Callable[[int], Table], request: Callable[[int], tuple[Table, Table]]) -> None:
        name = REQUESTS if REQUESTS in self._programs else BATCHES
        placed = self._programs[name]
        way = placed.placement.of(usual)
        if way == CPU:
            return
        feed = self._feed_of_rows(way, batch(usual)) if name == BATCHES else self._feed_of_request(way, *request(usual))
        self._group.warm(self._planned(name, placed, feed))

    # ------------------------------------------------------------------------------------------------ answers

    def rows(self, table: Table) -> Predictions:
        """What the program says of rows.

        Raises:
            BundleError: It does not fit them.
        """
        try:
            return self._rows_by(self._programs[BATCHES].placement.of(table.num_rows), table)
        except (LookupError, AssertionError) as error:
            raise BundleError(f"{self.bundle.path}: its tables are not those of its generator: {error}") from error

    def program(self, inputs: Mapping[str, np.ndarray]) -> Predictions:
        """What the program says of looked-up inputs."""
        feed = self._given(BATCHES, inputs)
        if self._programs[BATCHES].placement.of(feed.actual.get(ROWS, 1)) == CPU:
            return self._by_processor(partial(self._dense, inputs))
        return self._run(BATCHES, feed)

    def request(self, once: Table, each: Table) -> Predictions:
        """What the program for requests says of the candidates of a request."""
        return self._request_by(self._programs[REQUESTS].placement.of(each.num_rows), once, each)

    def _rows_by(self, way: Way, table: Table) -> Predictions:
        if way == CPU:
            return self._by_processor(lambda: self._dense(self._reader.lookup(table)))
        return self._run(BATCHES, self._feed_of_rows(way, table))

    def _request_by(self, way: Way, once: Table, each: Table) -> Predictions:
        if way == CPU:
            assert self._on_cpu is not None
            return self._by_processor(partial(self._on_cpu, once, each))
        return self._run(REQUESTS, self._feed_of_request(way, once, each))

    def _by_processor(self, call: Callable[[], Predictions]) -> Predictions:
        with self._counting:
            self._answered_here += 1
        return call()

    def _feed_of_rows(self, way: Way, table: Table) -> Feed:
        placed, tables = self._programs[BATCHES], self._tables
        if way == THERE and tables is not None:
            return feed_on_device({"": placed.lookups[""].bind(table)}, placed.program.inputs, tables)
        return self._given(BATCHES, self._reader.lookup(table))

    def _feed_of_request(self, way: Way, once: Table, each: Table) -> Feed:
        placed, tables = self._programs[REQUESTS], self._tables
        if way == THERE and tables is not None:
            bound = {USER: placed.lookups[USER].bind(once), ITEM: placed.lookups[ITEM].bind(each)}
            return feed_on_device(bound, placed.program.inputs, tables)
        return self._given(REQUESTS, self._sides.lookup(once, each))

    def _given(self, name: str, inputs: Mapping[str, np.ndarray]) -> Feed:
        try:
            return feed_of(inputs, self._programs[name].program.inputs)
        except KeyError as error:
            raise BundleError(f"the program cannot be run: it needs the input {error}") from error

    def _run(self, name: str, feed: Feed) -> Predictions:
        try:
            return self._group.run(self._planned(name, self._programs[name], feed))
        except (RuntimeError, LookupError, TypeError, ValueError, AttributeError) as error:
            raise BundleError(f"the program cannot be run: {(str(error).splitlines() or [''])[0]}") from error

    def _planned(self, name: str, placed: _Placed, feed: Feed) -> Job:
        """What is to be done for a feed: by a graph where it is of a size that has one."""
        if placed.eager or feed.actual.get(ROWS, 1) > self.config.graph_rows:
            return self._job(name, placed.program, feed, feed.actual)
        sights = OFTEN if placed.exact else TWICE
        return self._job(name, placed.program, feed, feed.padded(placed.exact), sights)

    def _job(self, name: str, program: Program, feed: Feed, sizes: Sizes, sights: int = 0) -> Job:
        tables = self._tables
        return Job(name, feed, sizes, lambda tensors, s: program(feed.inputs(tensors, s, tables)), sights)

    # -------------------------------------------------------------------------------------------------- proof

    @contextmanager
    def on_processor(self) -> Iterator[None]:
        """Inside of the block everything runs on the processor: to prove that too. Nobody else may ask meanwhile."""
        kept, tolerance = {name: placed.placement for name, placed in self._programs.items()}, self.tolerance
        for placed in self._programs.values():
            placed.placement = Placement(CPU)
        self.tolerance = None
        try:
            yield
        finally:
            self.tolerance = tolerance
            for name, placement in kept.items():
                self._programs[name].placement = placement

    @property
    def out_of_range(self) -> int:
        """How many ids lay outside their table."""
        lookups = [lookup for placed in self._programs.values() for lookup in placed.lookups.values()]
        here = self._sides.out_of_range if self.split is not None else 0
        return here + sum(lookup.out_of_range for lookup in lookups)

    @property
    def stats(self) -> DeviceStats:
        """What runs where, and how often since loading."""
        refused = self._group.refused
        eager = {name: placed.eager or refused.get(name, "") for name, placed in self._programs.items()}
        return DeviceStats(
            device=described(self.device),
            precision=self.config.precision,
            tables="cpu" if self._tables is None else "gpu",
            table_mb=0.0 if self._tables is None else self._tables.bytes / 2**20,
            eager={name: why for name, why in eager.items() if why},
            exact={name: sorted(placed.exact) for name, placed in self._programs.items() if placed.exact},
            graphs=self._group.graphs,
            placement={name: dict(placed.placement.chosen) for name, placed in self._programs.items()},
            milliseconds={name: placed.placement.milliseconds for name, placed in self._programs.items()},
            answered={**self._group.counts, **({"cpu": self._answered_here} if self._answered_here else {})},
        )


class DeviceSplit:
    """Scores requests on a device.

    What is kept of users and items between requests is in the memory of the processor, which scores what is made of it.

    Args:
        scorer: What does so.
        here: What scores them on the processor.

    Attributes:
        tiled: Whether candidates are looked up beside what the request has once.
        reads: The features that are looked up for candidates.
        by_row: Whether all that is looked up for candidates has a row for each.
    """

    def __init__(self, scorer: DeviceScorer, here: OnProcessor) -> None:
        self._scorer, self._here = scorer, here
        self.tiled, self.reads, self.by_row, self.summed = here.tiled, here.reads, here.by_row, here.summed
        self.of_user, self.of_items, self.run = here.of_user, here.of_items, here.run

    @property
    def out_of_range(self) -> int:
        """How many ids lay outside their table."""
        return self._here.out_of_range

    def __call__(self, once: Table, each: Table) -> Predictions:
        """What the program says of the candidates of a request."""
        return self._scorer.request(once, each)


def open_scorer(
    bundle: Bundle,
    config: DeviceConfig,
    tables: TableReader,
    dense: Callable[[Mapping[str, np.ndarray]], Predictions],
    split: OnProcessor | None,
) -> DeviceScorer | None:
    """What scores a bundle on the device of a config; None where `auto` finds none.

    Args:
        bundle: What is served.
        config: How.
        tables: The bundle's tables.
        dense: What runs its program on the processor.
        split: What scores requests there.

    Raises:
        ConfigError: There is no such device.
        BundleError: The bundle cannot be served there.
    """
    if config.name == "auto" and not torch.cuda.is_available():
        return None
    device = open_device("cuda" if config.name == "auto" else config.name, "device")
    return DeviceScorer(bundle, config, device, tables, dense, split)


def _tolerance(manifest: Manifest, config: DeviceConfig) -> float:
    """How far scores may lie from the trained ones.

    Raises:
        BundleError: Nobody says.
    """
    if config.tolerance is not None:
        return config.tolerance
    if config.precision == "fp32":
        return manifest.runtimes[RUNTIME].tolerance.get("fp32", 0.0) + TOLERANCE
    stated = [e.tolerance[config.precision] for e in manifest.runtimes.values() if config.precision in e.tolerance]
    if not stated:
        raise BundleError(
            f"the bundle does not say how exact it is in {config.precision}: export it with 'precision: {config.precision}',"
            " or say 'tolerance' beside 'precision'"
        )
    return max(stated)
