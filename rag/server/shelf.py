"""`Shelf`: the knowledge bases that are open. Those that nobody asks are closed when there are too many."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from easyrec.llm.rerankers import Reranker
from rag.bases import Bases
from rag.config import RagConfig
from rag.knowledge import KnowledgeBase
from rag.rag import Rag
from rag.server.refused import Refused
from rag.server.settings import KNOWLEDGE, Settings
from rag.server.users import User

PATIENCE_S = 10.0
"""How long somebody who wants a knowledge base for themselves waits for the others."""


@dataclass
class Open:
    """A knowledge base that is open.

    Attributes:
        name: What it is called.
        config: How it is searched and who answers.
        base: It.
        rag: The way of questions through it; None: nobody answers.
        writing: Held by who changes it: one at a time.
        uses: Those who are at work with it.
    """

    name: str
    config: RagConfig
    base: KnowledgeBase
    rag: Rag | None
    writing: threading.RLock = field(default_factory=threading.RLock)
    uses: int = 0

    def close(self) -> None:
        """Let go of it."""
        if self.rag is not None:
            self.rag.close()
        self.base.close()


class Shelf:
    """All knowledge bases of a server. Any thread may use it.

    Args:
        root: The folder of all.
        config: What they share.
        most: Those that are held open.
    """

    def __init__(self, root: Path, config: RagConfig, most: int) -> None:
        self.bases = Bases(root, config.knowledge)
        self.settings = Settings(root / ".server" / "settings", config)
        self._config, self._most = config, most
        self._free, self._opening = threading.Condition(), threading.RLock()
        self._open: OrderedDict[str, Open] = OrderedDict()
        self.reranker: Reranker | None = config.search.reranker.open() if config.search.reranker is not None else None

    def names(self, user: User) -> list[str]:
        """Those that are there for a user."""
        return [name for name in self.bases.names() if user.sees(name)]

    def check(self, name: str, user: User) -> None:
        """Look whether there is one for a user.

        Raises:
            Refused: There is none; of others' it is not told that they are there.
        """
        if not user.sees(name) or name not in self.bases:
            raise Refused(404, "unknown_base", f"there is no knowledge base '{name[:64]}'")

    def create(self, name: str, settings: Mapping[str, Any]) -> None:
        """Make one.

        Raises:
            Refused: It is there already.
            ConfigError: The name or the settings cannot be.
        """
        with self._opening:
            self.settings.config(settings)
            if name in self.bases:
                raise Refused(409, "exists", f"there is a knowledge base '{name}' already", param="name")
            self.bases.create(name, {key: settings[key] for key in KNOWLEDGE if key in settings})
            self.settings.write(name, settings)

    def change(self, name: str, settings: Mapping[str, Any]) -> None:
        """Let one have other settings; how documents are read and cut holds for those that are put in from then on.

        Raises:
            ConfigError: They cannot be.
            Refused: It is being worked with.
        """
        with self._opening:
            merged = {**self.settings.read(name), **settings}
            self.settings.config(merged)
            with self._alone(name):
                self.bases.change(name, {key: merged[key] for key in KNOWLEDGE if key in merged})
                self.settings.write(name, merged)

    def drop(self, name: str) -> None:
        """Remove one with all that it has.

        Raises:
            Refused: It is being worked with.
        """
        with self._opening, self._alone(name):
            self.bases.drop(name)
            self.settings.drop(name)

    @contextmanager
    def _alone(self, name: str) -> Iterator[None]:
        """The block runs while nobody has one: those who want it wait, as they cannot open it, and it is closed."""
        with self._free:
            found = self._open.pop(name, None)
            if found is not None and not self._free.wait_for(lambda: not found.uses, PATIENCE_S):
                self._open[name] = found
                raise Refused(409, "in_use", "it is being worked with: try again", retry_after=5.0)
        if found is not None:
            found.close()
        yield

    @contextmanager
    def use(self, name: str) -> Iterator[Open]:
        """One, open for as long as the block runs.

        Raises:
            EasyRecError: It cannot be opened.
        """
        found = self._taken(name) or self._made(name)
        try:
            yield found
        finally:
            with self._free:
                found.uses -= 1
                self._free.notify_all()

    def _taken(self, name: str) -> Open | None:
        with self._free:
            found = self._open.get(name)
            if found is not None:
                self._open.move_to_end(name)
                found.uses += 1
            return found

    def _made(self, name: str) -> Open:
        with self._opening:
            if (found := self._taken(name)) is not None:  # by another thread meanwhile
                return found
            config = self.settings.config(self.settings.read(name))
            base = self.bases.open(name)
            try:
                rag = Rag(config, base=base) if config.llm is not None else None
            except BaseException:
                base.close()
                raise
            found = Open(name, config, base, rag, uses=1)
            with self._free:
                self._open[name] = found
                idle = [other for other in self._open.values() if not other.uses]
                over = idle[: max(0, len(self._open) - self._most)]
                for other in over:
                    del self._open[other.name]
            for other in over:
                other.close()
            return found

    @property
    def count(self) -> int:
        """How many are open."""
        return len(self._open)

    def close(self) -> None:
        """Close all."""
        with self._free:
            held, self._open = list(self._open.values()), OrderedDict()
        for one in held:
            one.close()
        self.bases.close()
        if self.reranker is not None:
            self.reranker.close()
