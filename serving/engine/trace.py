"""`Trace`: each candidate's way through the stages: who recalled it, why it was left out, its scores, where it ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from serving.engine.merge import Candidates
from serving.engine.recall import Found
from serving.engine.rows import Ints

if TYPE_CHECKING:
    from serving.engine.listed import Listed


class Trace:
    """What the stages of a request did. It holds arrays, of which `told` makes what people read."""

    def __init__(self) -> None:
        self._found: list[Found] = []
        self._merged: Candidates | None = None
        self._dropped: list[tuple[str, Ints]] = []
        self._stages: list[tuple[str, Candidates]] = []
        self._listed: Listed | None = None

    def recalled(self, found: Sequence[Found], merged: Candidates) -> None:
        """What the sources gave, and what was made of it."""
        self._found, self._merged = list(found), merged

    def filtered(self, name: str, rows: Ints) -> None:
        """What a filter left out."""
        if len(rows):
            self._dropped.append((name, rows))

    def stage(self, name: str, candidates: Candidates) -> None:
        """What a stage gave, the best first."""
        self._stages.append((name, candidates))

    def ended(self, listed: Listed) -> None:
        """The list."""
        self._listed = listed

    def told(self, most: int = 200, about: Sequence[Any] = ()) -> dict[str, Any]:
        """The way of each candidate, those that came furthest first.

        Args:
            most: How many candidates are told of.
            about: Keys of items that are told of in any case, and alone; also why they are no candidates.
        """
        listed, merged = self._listed, self._merged
        assert listed is not None
        assert merged is not None
        plan, rows = listed.plan, listed.plan.rows
        places = rows.find(list(about))
        shown = self._in_order(listed)[:most] if not len(about) else places[places >= 0].tolist()
        lines: dict[int, dict[str, Any]] = {row: {"sources": [], "stages": {}, "position": None} for row in shown}
        for source, one in zip(plan.sources, self._found, strict=True):
            ranks = {row: rank for rank, row in enumerate(one.rows.tolist()) if row in lines}
            for row, rank in ranks.items():
                score = None if one.scores is None else _number(one.scores[rank])
                lines[row]["sources"].append({"source": source.config.called, "rank": rank, "score": score})
        for row, rank in _ranks(merged.rows, lines).items():
            lines[row]["stages"]["merge"] = {"rank": rank}
        for kept_out in plan.filters:
            mask = kept_out.everywhere()
            for row, line in lines.items():
                if mask is not None and not mask[row]:  # sources leave these out by themselves
                    line.setdefault("filtered", []).append(kept_out.config.called)
        for name, dropped in self._dropped:
            for row in set(dropped.tolist()) & lines.keys():
                lines[row].setdefault("filtered", []).append(name)
        for name, candidates in self._stages:
            tasks = {task: values for task, values in candidates.tasks.items() if task.startswith(f"{name}.")}
            for row, rank in _ranks(candidates.rows, lines).items():
                told: dict[str, Any] = {"rank": rank, "score": _number(candidates.scores[rank])}
                if tasks:
                    told["tasks"] = {task.partition(".")[2]: _number(values[rank]) for task, values in tasks.items()}
                lines[row]["stages"][name] = told
        for position, row in enumerate(listed.candidates.rows.tolist()):
            if row in lines:
                lines[row]["position"] = position + listed.page_start
                lines[row]["reason"] = listed.reasons[position]
                if listed.candidates.propensity is not None:
                    lines[row]["propensity"] = _number(listed.candidates.propensity[position])
        stages = ["merge", *(name for name, _ in self._stages)]
        for line in lines.values():
            line["filtered"] = list(dict.fromkeys(line.get("filtered", ())))
            line["ended"] = self._ended(line, stages)
        title = plan.world.config.catalogue.title
        titles = rows.table.column(title).take(np.array(shown, np.int64)).to_pylist() if title is not None else shown
        keys = rows.keys_of(np.array(shown, np.int64))
        items = [
            {"item_id": key, **({"title": name} if title is not None else {}), **lines[row]}
            for key, name, row in zip(keys, titles, shown, strict=True)
        ]
        gone = [key for key, place in zip(about, places.tolist(), strict=True) if place < 0]
        items += [
            {"item_id": key, "sources": [], "stages": {}, "position": None, "ended": "not in the catalogue"}
            for key in gone
        ]
        return {
            **{key: value for key, value in listed.answer().items() if key != "items"},
            "user_id": listed.ask.question.user_id,
            "parameters": dict(listed.ask.parameters),
            "stages": stages,
            "sources": {s.config.called: len(f.rows) for s, f in zip(plan.sources, self._found, strict=True)},
            "counts": {name: {"in": before, "out": after} for name, (before, after) in listed.counts.items()},
            "ms": {name: round(1000.0 * seconds, 3) for name, seconds in listed.times.items()},
            "candidates": len(np.unique(np.concatenate([one.rows for one in self._found])) if self._found else ()),
            "items": items,
        }

    def _in_order(self, listed: Listed) -> list[int]:
        """All candidates, those that came furthest first."""
        lists = [listed.candidates.rows, *(c.rows for _, c in reversed(self._stages))]
        lists += [self._merged.rows if self._merged is not None else np.zeros(0, np.int64)]
        lists += [one.rows for one in self._found]
        return list(dict.fromkeys(np.concatenate(lists).tolist()))

    @staticmethod
    def _ended(line: dict[str, Any], stages: Sequence[str]) -> str:
        """What became of a candidate, in words."""
        if line["position"] is not None:
            return "shown"
        if line["filtered"]:
            return f"left out by {', '.join(line['filtered'])}"
        if not line["sources"] and not line["stages"]:
            return "no source recalled it"
        if not line["stages"]:
            return "left out by merge: other sources' candidates came before it"
        last = [name for name in stages if name in line["stages"]][-1]
        behind = stages[stages.index(last) + 1 :]
        return f"left out by {behind[0]}" if behind else "behind the end of the list"


def _ranks(rows: Ints, wanted: Any) -> dict[int, int]:
    return {row: rank for rank, row in enumerate(rows.tolist()) if row in wanted}


def _number(value: Any) -> Any:
    """A number as JSON takes it; lists of them for several."""
    found = np.asarray(value, np.float64)
    if found.ndim:
        return [_number(one) for one in found]
    return round(float(found), 6) if np.isfinite(found) else None
