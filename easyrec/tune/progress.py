"""What a person sees while a search runs: a line per trial, and a bar on a terminal."""

from __future__ import annotations

import logging
import sys

from tqdm import tqdm
from typing_extensions import Self

from easyrec.tune.row import Row
from easyrec.tune.search import Search
from easyrec.tune.study import Study

logger = logging.getLogger("easyrec.tune")


class Progress:
    """Progress of a search.

    Args:
        search: What is searched.
        study: Where its trials are.
        bar: Whether to draw a bar; default: whether stderr is a terminal.
    """

    def __init__(self, search: Search, study: Study, *, bar: bool | None = None) -> None:
        self.search, self.study = search, study
        self._told: set[int] = set()
        shown = sys.stderr.isatty() if bar is None else bar
        self._bar = (
            tqdm(total=search.trials, unit="trial", dynamic_ncols=True, leave=False, mininterval=0.2) if shown else None
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def begin(self) -> None:
        """Say what is searched, and what is there already."""
        spaces = len(self.search.parameters)
        names = ", ".join(o.name for o in self.search.objectives)
        most = self.search.trials
        of = "" if most is None else f", at most {most} trial{'s' * (most != 1)}"
        self._say(f"{spaces} space{'s' * (spaces != 1)} searched for {names}{of}")
        ended = [row for row in self.study.rows() if row.state != "running"]
        self._told = {row.number for row in ended}
        if ended:
            best = self.study.best()
            count = f"{len(ended)} trial{'s are' if len(ended) > 1 else ' is'} there"
            self._say(count + (f"; the best: {self.line(best[0])}" if best else ""))
            if self._bar is not None:
                self._bar.update(len(ended))

    def update(self) -> None:
        """Tell of the trials that have ended since."""
        rows = [row for row in self.study.rows() if row.state != "running" and row.number not in self._told]
        best = {row.number for row in self.study.best()}
        for row in rows:
            self._told.add(row.number)
            self._say(self.line(row) + (", the best" if row.number in best else ""))
            if self._bar is not None:
                self._bar.update(1)

    def line(self, row: Row) -> str:
        """A trial in a line."""
        told = [f"{o.name} {row.outcome[o.name]:.5g}" for o in self.search.objectives if o.name in row.outcome]
        state = [] if row.state == "complete" else [row.state]
        reason = [row.reason.splitlines()[0]] if row.reason else []
        return f"trial {row.number}: {', '.join([*state, *told, *reason, f'{row.seconds:.1f} s'])} ({row.point})"

    def _say(self, text: str) -> None:
        if self._bar is not None:
            self._bar.write(text, file=sys.stderr)
        else:
            logger.info("%s", text)
