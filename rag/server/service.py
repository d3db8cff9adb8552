"""`Service`: all that a server works with."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

from easyrec.errors import RunError
from easyrec.prometheus import Metrics, exposition
from rag.config import RagConfig
from rag.server.config import ServerConfig
from rag.server.evaluations import Evaluations
from rag.server.events import tell
from rag.server.files import Files
from rag.server.ingesting import Ingesting
from rag.server.lanes import Lane, Places
from rag.server.numbers import BOUNDS, HELP
from rag.server.pictures import Pictures
from rag.server.quotas import Quotas
from rag.server.shelf import Shelf
from rag.server.tasks import Tasks
from rag.server.users import Users


def _alone(path: Path) -> IO[bytes]:
    """A file that says that nobody else serves a folder: two servers would take in each other's files.

    Raises:
        RunError: Somebody else does.
    """
    held = path.open("wb")
    if fcntl is not None:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            held.close()
            raise RunError(f"{path.parent.parent}: another server has these knowledge bases") from None
    return held


class Service:
    """Knowledge bases, tasks, users and counts of one server.

    Args:
        rag: What all knowledge bases share.

    Attributes:
        config: Where and to whom it is served.

    Raises:
        EasyRecError: The folder or a model cannot be opened.
    """

    def __init__(self, rag: RagConfig) -> None:
        self.rag = rag
        self.config: ServerConfig = rag.server
        root = Path(self.config.root)
        state = root / ".server"
        self.files, self.coming = Files(state / "files"), state / "coming"
        self.coming.mkdir(parents=True, exist_ok=True)
        self._held = _alone(state / "lock")
        self.users, self.quotas = Users(self.config), Quotas()
        self.metrics = Metrics(BOUNDS)
        self.tasks = Tasks(state / "tasks.db", self.config.keep_tasks)
        self.shelf = Shelf(root, rag, self.config.open)
        self.evaluations = Evaluations(state / "evaluations", self.shelf, self._used)
        limits = self.config.limits
        self.work = Lane("work", limits.threads, limits.queue)
        self.answers = Lane("answers", limits.answers, limits.queue)
        self.uploads = Places(limits.uploads, "uploads")
        self.ingesting = Ingesting(self.tasks, self.shelf, self.files, self.metrics, self.config.workers)
        self.pictures = Pictures()
        self.ready = False

    def _used(self, name: str, tokens: int) -> None:
        """Count tokens of a user, if there is one of that name still."""
        user = self.users.named(name)
        if user is not None:
            self.quotas.use_tokens(user, tokens)

    async def start(self) -> None:
        """Begin to take in what waits, and to answer."""
        for path in self.coming.iterdir():  # of uploads that were cut off
            path.unlink(missing_ok=True)
        self.ingesting.start()
        self.evaluations.resume()
        self.ready = True

    async def stop(self) -> None:
        """Let go of everything; what is not taken in yet waits for the next start."""
        self.ready = False
        self.work.close()
        self.answers.close()
        self.evaluations.close()
        self.ingesting.stop(self.config.drain_s)
        self.shelf.close()
        self.tasks.close()
        self._held.close()
        tell(logging.INFO, "stopped")

    def exposition(self) -> bytes:
        """All numbers, as Prometheus reads them."""
        self.metrics.clear("easyrec_rag_tasks")
        for state, count in self.tasks.counts().items():
            if state in ("held", "waiting", "running"):
                self.metrics.set("easyrec_rag_tasks", count, state=state)
        for lane in (self.work, self.answers):
            self.metrics.set("easyrec_rag_waiting", lane.waiting, lane=lane.name)
            self.metrics.set("easyrec_rag_running", lane.running, lane=lane.name)
        self.metrics.set("easyrec_rag_running", self.uploads.taken, lane="uploads")
        self.metrics.set("easyrec_rag_bases_open", self.shelf.count)
        return exposition([self.metrics.state()], HELP, BOUNDS)
