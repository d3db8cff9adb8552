"""`run`: asks, puts in order, compares, writes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from easyrec.errors import DataError
from easyrec.llm.asking import client_for, write_report
from easyrec.llm.behaviour import Behaviour
from easyrec.llm.config import LlmConfig
from easyrec.llm.items import write_table
from easyrec.llm.ranking import Case, LlmRanker, Ranked, Shot
from easyrec.llm.texts import Texts
from easyrec.llm.tools._rerank.measures import bias_of, compared, measured
from easyrec.llm.tools._rerank.requests import Requests, requests_of
from easyrec.llm.tools.rerank import Config, Reranked


def run(config: LlmConfig, own: Config, *, progress: Callable[[int], object] | None = None) -> Reranked:
    """See `easyrec.llm.tools.rerank.rerank`."""
    endpoint, output = config.asked(), Path(own.output)
    texts = Texts(own.items, "rerank.items")
    given = own.candidates
    requests = requests_of(given, texts.ids, "rerank.candidates", limit=given.limit, seed=own.seed)
    behaviour = None if own.events is None else Behaviour(own.events, texts.ids, "rerank.events")
    teller = Teller(own, texts, behaviour)
    cases, tops = teller.cases(requests)
    with client_for(endpoint, output) as client:
        ranker = LlmRanker(client, own.how, own.about, own.seed)
        ranked, asked = ranker.rank(cases, max_failed=own.max_failed, progress=progress)
    orders = [
        _whole(one, top, requests.rows(number)) for number, (one, top) in enumerate(zip(ranked, tops, strict=True))
    ]
    write_table(output, _table(own, requests, ranked, tops, orders, endpoint.model))
    measures = differences = None
    if requests.label is not None:
        measures, differences = compared(_systems(own, requests, orders, behaviour), own.level)
    many = max(len(requests), 1)
    counts = {
        "kept": sum(not one.answered for one in ranked),
        **{name: sum(getattr(one, name) for one in ranked) for name in ("missing", "doubled", "unknown")},
    }
    bias = bias_of(ranked, own.level)
    tokens = asked.spent.input / many, asked.spent.output / many
    more = {
        "requests": len(requests),
        "candidates": len(requests.ids),
        "without_text": int((requests.item < 0).sum()),
        **counts,
        "per_request": {
            "prompts": asked.count / many,
            "tokens_in": tokens[0],
            "tokens_out": tokens[1],
            "cost": asked.cost / many,
            "from_cache": asked.cached / many,
        },
        "measured_requests": None if measures is None else next(iter(measures["model"].values()))["count"],
        "measures": measures,
        "model_more_than": differences,
        "position_bias": bias,
    }
    report = write_report(output, "rerank", own, {own.how.type: (endpoint.model, asked)}, more)
    return Reranked(
        asked,
        len(requests),
        counts["kept"],
        counts["missing"],
        counts["doubled"],
        counts["unknown"],
        tokens,
        asked.cost / many,
        measures,
        differences,
        bias,
        own.output,
        report,
    )


class Teller:
    """Tells requests as cases.

    Args:
        own: The section.
        texts: Of the items.
        behaviour: What users took.
    """

    def __init__(self, own: Config, texts: Texts, behaviour: Behaviour | None) -> None:
        self._own, self._texts, self._behaviour = own, texts, behaviour
        self._known: dict[int, str] = {}
        self._shots = self._solved()

    def cases(self, requests: Requests) -> tuple[list[Case], list[list[int]]]:
        """The requests, and which of the rows of each are put in order: those that have texts, the ranker's best."""
        cases, tops = [], []
        users = self._users(requests)
        for number in range(len(requests)):
            rows = requests.rows(number)
            top = [row for row in range(rows.start, rows.stop) if requests.item[row] >= 0][: self._own.candidates.most]
            case = self._case(requests, number, top, users)
            moment = None if requests.time is None else requests.time[number]
            cases.append(Case(case.key, case.candidates, case.history, case.query, self._chosen(case.key, moment)))
            tops.append(top)
        return cases, tops

    def _users(self, requests: Requests) -> np.ndarray | None:
        if self._behaviour is None or requests.user is None:
            return None
        given = self._own.candidates
        return self._behaviour.numbers_of(requests.user, given.path, given.user or "")

    def _case(self, requests: Requests, number: int, rows: Sequence[int], users: np.ndarray | None) -> Case:
        history: list[dict[str, Any]] = []
        if users is not None and self._behaviour is not None:
            behaviour = self._behaviour
            moment = None if requests.time is None else requests.time[number]
            for place in behaviour.last(int(users[number]), moment):
                history.append({"took": self._text(int(behaviour.item[place]))})
                if behaviour.value is not None:
                    history[-1]["value"] = float(behaviour.value[place])
        query = None if requests.queries is None else requests.queries[number]
        candidates = [self._text(int(requests.item[row])) for row in rows]
        return Case(str(requests.keys[number].as_py()), candidates, history, query)

    def _text(self, item: int) -> str:
        found = self._known.get(item)
        if found is None:
            found = self._known[item] = self._texts.of(item)
        return found

    def _solved(self) -> list[tuple[Shot, Any]]:
        """Requests with an outcome, and when they were.

        Raises:
            DataError: There is none.
        """
        shots = self._own.shots
        if shots is None:
            return []
        given = self._own.candidates.model_copy(update={"path": shots.path})
        requests = requests_of(given, self._texts.ids, "rerank.shots")
        assert requests.label is not None
        users, found = self._users(requests), []
        random = np.random.default_rng(self._own.seed)
        for number in range(len(requests)):
            rows = [
                row for row in range(requests.begins[number], requests.begins[number + 1]) if requests.item[row] >= 0
            ]
            taken = [row for row in rows if requests.label[row] > 0.0]
            others = [row for row in rows if requests.label[row] <= 0.0]
            if not taken or not others:
                continue
            shown = taken[: max(1, shots.candidates // 2)]
            shown = shown + others[: shots.candidates - len(shown)]
            shown = [shown[at] for at in random.permutation(len(shown))]  # what was taken stands anywhere
            best = sorted((at for at, row in enumerate(shown) if requests.label[row] > 0.0), key=lambda at: shown[at])
            moment = None if requests.time is None else requests.time[number]
            found.append((Shot(self._case(requests, number, shown, users), best), moment))
        if not found:
            raise DataError(f"{shots.path}: no request has a candidate that was taken and one that was not")
        return found

    def _chosen(self, key: str, moment: Any) -> list[Shot]:
        """Examples for a request: none of its own, and none of later ones."""
        shots = self._own.shots
        if shots is None:
            return []
        able = [
            shot
            for shot, when in self._shots
            if shot.case.key != key and (moment is None or when is None or when < moment)
        ]
        random = np.random.default_rng(
            self._own.seed
        )  # the same examples for all: servers keep what prompts begin with
        return [able[at] for at in random.permutation(len(able))[: shots.count]]


def _whole(one: Ranked, top: Sequence[int], rows: slice) -> np.ndarray:
    """All rows of a request, the model's best first; those that it was not shown follow in the ranker's order."""
    order = [top[place] for place in one.order]
    chosen = set(order)
    return np.array(order + [row for row in range(rows.start, rows.stop) if row not in chosen], np.int64)


def _systems(
    own: Config, requests: Requests, orders: Sequence[np.ndarray], behaviour: Behaviour | None
) -> dict[str, dict[str, np.ndarray]]:
    """By system its measures, over requests in which something was taken."""
    assert requests.label is not None
    label, random = requests.label, np.random.default_rng(own.seed)
    judged = [number for number in range(len(requests)) if (label[requests.rows(number)] > 0.0).any()]
    if not judged:
        raise DataError(
            "in no request something was taken", file=own.candidates.path, column=own.candidates.label or ""
        )
    rows = {number: requests.rows(number) for number in judged}
    systems = {
        "ranker": measured([label[rows[number]] for number in judged], own.at),
        "model": measured([label[orders[number]] for number in judged], own.at),
    }
    drawn = [
        measured(
            [label[rows[number]][random.permutation(rows[number].stop - rows[number].start)] for number in judged],
            own.at,
        )
        for _ in range(own.draws)
    ]
    systems["random"] = {key: np.mean([one[key] for one in drawn], axis=0) for key in drawn[0]}
    if behaviour is not None:
        times = None if requests.time is None else np.repeat(requests.time, np.diff(requests.begins))
        counts = behaviour.counts_before(np.maximum(requests.item, 0), times)
        counts = np.where(requests.item >= 0, counts, -1)
        order = [label[rows[number]][np.argsort(-counts[rows[number]], kind="stable")] for number in judged]
        systems["popular"] = measured(order, own.at)
    return systems


def _table(
    own: Config,
    requests: Requests,
    ranked: Sequence[Ranked],
    tops: Sequence[Sequence[int]],
    orders: Sequence[np.ndarray],
    model: str,
) -> pa.Table:
    """A row for each candidate, the model's best first."""
    rows = np.concatenate([np.zeros(0, np.int64), *orders])
    sizes = np.diff(requests.begins)
    number = np.repeat(np.arange(len(requests)), sizes)
    within = np.concatenate([np.zeros(0, np.int64), *(np.arange(size) for size in sizes)])
    said = np.full(len(requests.ids), np.nan)
    for one, top in zip(ranked, tops, strict=True):
        said[np.asarray(top, np.int64)] = one.scores
    states = np.array(["answered" if one.answered else "kept" for one in ranked], object)
    given = own.candidates
    columns = {
        given.request: requests.keys.take(pa.array(number)),
        given.item: requests.ids.take(pa.array(rows)),
        "place": pa.array(within, pa.int32()),
        "former_place": pa.array(within[rows], pa.int32()),
        "ranker_score": pa.array(requests.score[rows], pa.float64()),
        "model_score": pa.array(said[rows], pa.float64(), from_pandas=True),
        "state": pa.array(states[number], pa.string()),
        "source": pa.array([model] * len(rows), pa.string()),
    }
    if requests.label is not None:
        columns["label"] = pa.array(requests.label[rows], pa.float64())
    return pa.table(columns)
