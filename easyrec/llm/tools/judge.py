"""`judge`: models grade and compare what systems answer, beside what people have found."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from easyrec.llm.asking import Asked, client_for, write_report
from easyrec.llm.client import Endpoint
from easyrec.llm.config import LlmConfig
from easyrec.llm.items import write_table
from easyrec.llm.judging import Judge
from easyrec.llm.tools._judge.comparing import LOST, WON, Compared, compare, pairs_of
from easyrec.llm.tools._judge.config import Config
from easyrec.llm.tools._judge.grading import Graded, grade
from easyrec.llm.tools._judge.people import labels_of
from easyrec.llm.tools._judge.results import controls_told, grades_told
from easyrec.llm.tools._judge.units import Unit, controls_of, systems_of, units_of
from easyrec.llm.tools._judge.verdicts import comparisons_told

__all__ = ["Config", "Judged", "judge", "prompts_of"]


@dataclass(frozen=True)
class Judged:
    """What came of judging.

    Attributes:
        report: What `<output>.report.json` says.
        asked: By what it was asked for: the model, and what it took.
        written: The files.
    """

    report: dict[str, Any] = field(repr=False)
    asked: Mapping[str, tuple[str, Asked[Any]]] = field(repr=False)
    written: Sequence[Path] = ()


def judge(config: LlmConfig, own: Config, *, progress: Callable[[int], object] | None = None) -> Judged:
    """Let models judge a table, and write grades, verdicts and a report beside each other.

    Args:
        config: Which models there are.
        own: What is judged and how.
        progress: Is told how many more votes there are; all of them are `prompts_of`.

    Raises:
        ConfigError: The config does not fit the tables, or no model is named.
        DataError: A table cannot be read, or too many votes are none.
        ModelError: A judge cannot be asked, or its budget is spent; what it said is kept.
        RunError: The disk refuses.
    """
    began, output = time.monotonic(), Path(own.output)
    units, pairs, controls = _work(own)
    endpoints = _endpoints(config, own)
    labels = labels_of(own, units, pairs)
    asked: dict[str, tuple[str, Asked[Any]]] = {}
    told: dict[str, Any] = {"judges": list(endpoints)}
    written = [output]
    with _judges(own, endpoints, output) as judges:
        if "grade" in own.how:
            swapped = [other for _, other in controls]
            graded = grade(own, judges, [*units, *swapped], progress)
            asked |= _by_judge("grades", endpoints, graded.asked)
            real, controlled = _parted(graded, len(units))
            write_table(output, _grades_table(own, units, real, list(endpoints)))
            told["grades"] = grades_told(own, units, real, list(endpoints), labels)
            if controls:
                place = {(unit.id, unit.system): n for n, unit in enumerate(units)}
                rows = [place[unit.id, unit.system] for unit, _ in controls]
                told["controls"] = controls_told(own, real.panel[:, rows], controlled.panel)
        if "compare" in own.how:
            compared = compare(own, judges, pairs, progress)
            asked |= _by_judge("comparisons", endpoints, compared.asked)
            path = output if "grade" not in own.how else output.with_name(f"{output.stem}.pairs{output.suffix}")
            write_table(path, _pairs_table(compared, list(endpoints)))
            written = list(dict.fromkeys([*written, path]))
            told["comparisons"] = comparisons_told(own, compared, list(endpoints), labels)
    more = {"level": own.level, "criteria": {one.name: one.question for one in own.rubric}, **told}
    report = write_report(output, "judge", own, asked, {**more, "seconds": time.monotonic() - began})
    return Judged(report, asked, written)


def prompts_of(config: LlmConfig, own: Config) -> int:
    """How many votes are asked for.

    Raises:
        ConfigError: The config does not fit the table.
        DataError: The table cannot be read.
    """
    units, pairs, controls = _work(own)
    answers = (len(units) + len(controls)) * (1 if own.together else len(own.rubric)) if "grade" in own.how else 0
    return (answers + 2 * len(pairs)) * own.votes * len(_endpoints(config, own))


def _work(own: Config) -> tuple[list[Unit], list[tuple[Unit, Unit]], list[tuple[Unit, Unit]]]:
    """What is graded, what is compared, and what stands in for what."""
    units = units_of(own)
    systems = systems_of(units, own)
    pairs = pairs_of(own, units, systems) if "compare" in own.how else []
    return units, pairs, controls_of(units, own)


def _endpoints(config: LlmConfig, own: Config) -> dict[str, Endpoint]:
    """The judges by the names that reports have."""
    found: dict[str, Endpoint] = {}
    for one in own.judges or [config.asked()]:
        name = one.model
        while name in found:
            name += "'"
        found[name] = one
    return found


@contextmanager
def _judges(own: Config, endpoints: Mapping[str, Endpoint], output: Path) -> Iterator[list[Judge]]:
    with ExitStack() as stack:
        clients = [stack.enter_context(client_for(one, output)) for one in endpoints.values()]
        yield [Judge(one, own.votes, own.vote_temperature, own.seed) for one in clients]


def _by_judge(
    what: str, endpoints: Mapping[str, Endpoint], asked: Sequence[Asked[Any]]
) -> dict[str, tuple[str, Asked[Any]]]:
    named = zip(endpoints, asked, strict=True)
    return {what if len(endpoints) == 1 else f"{what} by {name}": (endpoints[name].model, one) for name, one in named}


def _parted(graded: Graded, count: int) -> tuple[Graded, Graded]:
    """The first `count` answers, and the others."""
    halves = []
    for part in (slice(None, count), slice(count, None)):
        whys = [[names[part] for names in criteria] for criteria in graded.whys]
        halves.append(Graded(graded.votes[:, :, part], graded.refused[:, :, part], whys, graded.asked))
    return halves[0], halves[1]


def _grades_table(own: Config, units: Sequence[Unit], graded: Graded, names: Sequence[str]) -> pa.Table:
    """A row for each judge, criterion and answer."""
    grades, missing = graded.grades, graded.missing
    there = [(j, c, n) for n in range(len(units)) for j in range(len(names)) for c in range(len(own.rubric))]
    at = tuple(zip(*there, strict=True))
    return pa.table(
        {
            "id": pa.array([units[n].id for _, _, n in there], pa.string()),
            "system": pa.array([units[n].system or None for _, _, n in there], pa.string()),
            "judge": pa.array([names[j] for j, _, _ in there], pa.string()),
            "criterion": pa.array([own.rubric[c].name for _, c, _ in there], pa.string()),
            "grade": pa.array(grades[at], pa.float64(), from_pandas=True),
            "votes": pa.array([_whole(graded.votes[cell]) for cell in there], pa.list_(pa.int32())),
            "unparsed": pa.array(missing[at], pa.int32()),
            "refused": pa.array(graded.refused[at], pa.int32()),
            "why": pa.array([graded.whys[j][c][n] or None for j, c, n in there], pa.string()),
            "length": pa.array([units[n].length for _, _, n in there], pa.int64()),
        }
    )


def _pairs_table(compared: Compared, names: Sequence[str]) -> pa.Table:
    """A row for each judge and pair."""
    verdicts, flipped = compared.verdicts, compared.flipped
    lacking = np.isnan(verdicts)
    there = [(j, p) for p in range(len(compared.pairs)) for j in range(len(names))]
    winners = []
    for j, p in there:
        a, b = compared.pairs[p]
        winners.append(None if lacking[j, p] else {WON: a.system, LOST: b.system}.get(float(verdicts[j, p]), "tie"))
    # of the first of a pair: 1 where it is better, 0 where neither is, -1
    votes = [[_whole(compared.votes[j, p, order]) for j, p in there] for order in (0, 1)]
    return pa.table(
        {
            "id": pa.array([compared.pairs[p][0].id for _, p in there], pa.string()),
            "first": pa.array([compared.pairs[p][0].system for _, p in there], pa.string()),
            "second": pa.array([compared.pairs[p][1].system for _, p in there], pa.string()),
            "judge": pa.array([names[j] for j, _ in there], pa.string()),
            "better": pa.array(winners, pa.string()),
            "flipped": pa.array([bool(flipped[j, p]) for j, p in there], pa.bool_()),
            "votes": pa.array(votes[0], pa.list_(pa.int32())),
            "votes_turned": pa.array(votes[1], pa.list_(pa.int32())),
            "refused": pa.array([int(compared.refused[j, p].sum()) for j, p in there], pa.int32()),
            "why": pa.array([compared.whys[j][p] or None for j, p in there], pa.string()),
        }
    )


def _whole(votes: np.ndarray) -> list[int]:
    """Those that there are."""
    return [int(vote) for vote in votes[~np.isnan(votes)]]
