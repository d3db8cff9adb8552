"""The stage of the time check: columns that look ahead of their row's event are dropped."""

from __future__ import annotations

import logging

from easyrec.config.cross import TimeCheckConfig
from easyrec.tune.cross.beam import REFITS
from easyrec.tune.cross.proposal import Proposal
from easyrec.tune.cross.session import Session
from easyrec.tune.cross.time_check import TimeCheck

logger = logging.getLogger("easyrec.tune")


class LookingAhead:
    """Checks all columns.

    Args:
        session: The search.
    """

    def __init__(self, session: Session) -> None:
        self.session = session

    def run(self) -> None:
        """Drop the columns that look ahead, also from the model that crosses are compared beside."""
        rules = self.session.config.time_check
        if not rules:
            return
        done: dict[str, list[str]] = self.session.state.setdefault("time_check", {})
        checker: TimeCheck | None = None
        for column in list(self.session.columns.values()):
            if column.name not in done:
                self.session.check()
                checker = checker or self._checker(rules)
                verdict = checker.verdict(column)
                done[column.name] = [verdict.test, verdict.reason]
            test, reason = done[column.name]
            if not test:
                continue
            del self.session.columns[column.name]
            if column.feature is not None and column.feature in self.session.base.fields:
                self.session.base.remove(column.feature)
                self.session.base.refit(REFITS)
                reason += f"; the config's own feature '{column.feature}' reads it: leave it out"
                logger.warning("'%s' looks ahead of its row's event: %s", column.source, reason)
            self.session.proposals.append(
                Proposal("column", column.name, (column.name,), reason=f"time check: {reason}")
            )

    def _checker(self, rules: TimeCheckConfig) -> TimeCheck:
        after = {column: at for column, at in rules.available_at.items() if not isinstance(at, str)}
        checker = TimeCheck(self.session.searched, rules.keys, rules.trust, after)
        if self.session.searched.time is None:
            logger.warning("data.event_time is not set: columns are not checked for what they know of the future")
        elif not checker.followed:
            logger.warning("no column of ids has rows enough of each: columns are not followed through time")
        return checker
