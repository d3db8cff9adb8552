"""`Report`: what came of adding documents."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Report:
    """What came of adding documents.

    Attributes:
        added: Sources that are new.
        updated: Sources whose content, or what is known of them, has changed.
        unchanged: Sources that are as they were.
        removed: Sources whose files are gone, where these were to be taken away.
        failed: Sources that could not be read, with the reasons; what was known of them stays.
        skipped: Files in folders that no reader knows, as paths.
        chunks: How many chunks the added and updated ones have.
        embedded: How many texts were embedded; the other chunks had their vectors already.
        lost: By source, what people wrote in the place of chunks that its file no longer has; an empty text stands for a chunk
            that somebody had taken away.
        counts: What was met while files were read, as `unread_pages` and `pictures_left_out`.
        seconds: How long each stage took: to `read` and to `cut`, of all processes together, to `embed`, to `write`, to tell
            indexes (`index`), and in all (`whole`).
    """

    added: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    chunks: int = 0
    embedded: int = 0
    lost: dict[str, list[str]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """What is done inside of the block takes its time."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.took({name: time.perf_counter() - begun})

    def took(self, seconds: Mapping[str, float]) -> None:
        """Stages took this long."""
        for name, own in seconds.items():
            self.seconds[name] = self.seconds.get(name, 0.0) + own

    def sort(self, order: Mapping[str, int]) -> None:
        """Tell sources in the order in which they were meant, whoever was ready first."""
        for told in (self.added, self.updated, self.unchanged):
            told.sort(key=lambda source: order.get(source, -1))
        self.failed = dict(sorted(self.failed.items(), key=lambda entry: order.get(entry[0], -1)))
