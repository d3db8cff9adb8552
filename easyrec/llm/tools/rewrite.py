"""`rewrite`: other words for what people search, so that advertisements are found for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from easyrec.llm.rewriting.config import RewriteConfig as Config

if TYPE_CHECKING:
    from easyrec.llm.asking import Asked
    from easyrec.llm.config import LlmConfig
    from easyrec.llm.rewriting.rewrites import Made

__all__ = ["Config", "Rewritten", "rewrite"]
AT_ONCE = 1024
"""Queries that are prepared at a time."""


@dataclass(frozen=True)
class Rewritten:
    """What came of the head.

    Attributes:
        made: Of each query, in the order of how often they are searched.
        kept: Rewrites that are taken.
        rejected: Those that are not, by reason.
        traffic: Share of all searches whose query is of the head.
        asked: What the model was asked, and what that took.
        output: The file.
    """

    made: Sequence[Made] = field(repr=False)
    kept: int
    rejected: Counter[str]
    traffic: float
    asked: Asked[Any]
    output: Path

    @property
    def covered(self) -> int:
        """Queries that have a rewrite."""
        return sum(bool(one.kept) for one in self.made)


def rewrite(
    config: LlmConfig, own: Config, *, limit: int | None = None, progress: Callable[[int], object] | None = None
) -> Rewritten:
    """Rewrite the most frequent queries, and write files: the rewrites, those that were not taken, and a report.

    What was answered is kept: a command that was stopped goes on where it stopped, and pays for nothing twice.

    Args:
        config: What tools share.
        own: Section `rewrite`.
        limit: Queries that are rewritten, at most.
        progress: Is told how many more queries were asked about.

    Raises:
        ConfigError: There is no model, or what is configured needs an embedder.
        DataError: A table cannot be read, or too many answers cannot be used.
        BudgetError: The budget is spent; what was answered is kept.
        ModelError: The model cannot be reached.
        RunError: The disk refuses.
    """
    from easyrec.llm.asking import ask_each, write_report  # noqa: PLC0415 (a config must not wait for it)
    from easyrec.llm.client import Client  # noqa: PLC0415
    from easyrec.llm.rewriting.files import write  # noqa: PLC0415
    from easyrec.llm.rewriting.maker import Maker, endpoint_of  # noqa: PLC0415
    from easyrec.llm.rewriting.quality import measured  # noqa: PLC0415

    endpoint, output = endpoint_of(config.asked(), own), Path(own.output)
    with Maker(config, own) as maker, Client(endpoint) as client:
        asks = maker.asks[:limit]
        prepared = []
        for start in range(0, len(asks), AT_ONCE):
            some = asks[start : start + AT_ONCE]
            prepared += maker.prepare(some, maker.vectors([ask.query for ask in some]))
        asked = ask_each(
            client,
            prepared,
            maker.talk,
            maker.schema,
            max_failed=own.max_failed,
            progress=progress,
            temperature=own.temperature,
        )
        made = maker.sorted(prepared, asked.values)
        found = measured(made, maker.forms, maker.vectors)
        searches = maker.searches
    rejected = Counter[str](one.reason for each in made for one in each.rejected)
    kept = sum(len(one.kept) for one in made)
    traffic = sum(ask.count for ask in asks) / searches if searches else 0.0
    write(output, made)
    told = {
        "queries": len(made),
        "rewrites": kept,
        "rejected": dict(rejected),
        "traffic": traffic,
        "quality": found.as_json(),
    }
    write_report(output, "rewrite", own, {"rewrites": (endpoint.model, asked)}, told)
    return Rewritten(made, kept, rejected, traffic, asked, output)
