"""Vectors of the items of a two-tower model: made with each version, and again when the catalogue has changed.

They lie in `vectors` of the bundle whose towers made them, so that `current` changes towers and vectors at one stroke.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
import shutil
import time
from pathlib import Path
from typing import Any

from easyrec.errors import ConfigError, Problem
from easyrec.loop.config import LoopConfig
from easyrec.loop.learning import Learner
from easyrec.loop.publishing import BUNDLES, Publisher
from easyrec.loop.versions import held, link_tree, read_manifest, write_manifest
from easyrec.train import api

logger = logging.getLogger("easyrec.loop")

VECTORS = "vectors"


class Vectors:
    """Embeds items.

    Args:
        loop: The loop.
        learner: Knows the experiment.
        publisher: Swaps.

    Raises:
        ConfigError: The model has no towers, or there is no catalogue.
    """

    def __init__(self, loop: LoopConfig, learner: Learner, publisher: Publisher) -> None:
        assert loop.vectors is not None
        self.loop, self.config = loop, loop.vectors
        self.learner, self.versions, self.publisher = learner, learner.versions, publisher
        experiment = learner.experiment
        if not experiment.model.item_groups:
            text = f"'{experiment.model.type}' makes no vectors of items: leave 'vectors' out"
            raise ConfigError([Problem(text, "vectors")])
        if self.config.source is None and experiment.data.items is None:
            raise ConfigError([Problem("name the catalogue: {type: parquet, path: items.parquet}", "vectors.source")])
        self._looked = float("-inf")

    def embed(self, number: int) -> None:
        """Make the vectors of a version, so that they come with its towers."""
        target = self.versions.run(number) / "bundle" / VECTORS
        told = self.versions.at(number) / "vectors.json"
        if read_manifest(told) is None:
            stamp = self._stamp()  # before: what is written meanwhile may not be read
            self._embed(number, target)
            write_manifest(told, {"stamp": stamp})

    def refresh(self) -> bool:
        """Embed anew where the catalogue has changed, and swap; says whether it had."""
        served = self.versions.served
        if served is None or time.monotonic() - self._looked < self.config.every:
            return False
        self._looked = time.monotonic()
        stamp, told = self._stamp(), self.versions.at(served) / "vectors.json"
        known = read_manifest(told)
        # After a rollback `current` is the bundle as it was published, without vectors that were swapped in later.
        if known is not None and known["stamp"] == stamp and known.get("name") in (None, self.publisher.pointed):
            return False
        fresh = self.versions.at(served) / VECTORS
        shutil.rmtree(fresh, ignore_errors=True)
        self._embed(served, fresh)
        with held(self.versions.publishing, "publishing", wait=True):
            if self.versions.served != served:  # rolled back meanwhile
                return True
            name = self._next(served)
            target = self.publisher.folder / BUNDLES / name
            staged = self.versions.at(served) / "swapped"
            shutil.rmtree(staged, ignore_errors=True)
            link_tree(self.versions.run(served) / "bundle", staged)
            shutil.rmtree(staged / VECTORS, ignore_errors=True)
            fresh.rename(staged / VECTORS)
            link_tree(staged, target)
            self.publisher.point(served, name)
            shutil.rmtree(staged, ignore_errors=True)
        write_manifest(told, {"stamp": stamp, "name": name})
        logger.info("the items of version %d were embedded anew", served)
        return True

    def _embed(self, number: int, target: Path) -> None:
        source: Any = self.config.source
        api.embed(
            self.versions.run(number),
            items=source,
            output=target,
            index=self.config.index,
            attributes=self.config.attributes,
            plugins=self.learner.plugins,
            overwrite=True,
            progress=False,
        )

    def _next(self, number: int) -> str:
        """The name of the next bundle of a version whose vectors alone are new."""
        folder = self.publisher.folder / BUNDLES
        form = re.compile(rf"^{number:06d}\.(\d+)$")
        known = [int(found[1]) for path in folder.iterdir() if (found := form.match(path.name))]
        return f"{number:06d}.{max(known, default=0) + 1}"

    def _stamp(self) -> str:
        """What changes when the catalogue does: its files, their sizes and times."""
        source = self.config.source
        paths: Any = (
            source.get("path") if source is not None else getattr(self.learner.experiment.data.items, "path", None)
        )
        found = []
        for pattern in [paths] if isinstance(paths, str) else paths or []:
            path = Path(pattern)
            files = sorted(path.rglob("*")) if path.is_dir() else sorted(path.parent.glob(path.name))
            for one in files:
                with contextlib.suppress(FileNotFoundError):  # it has gone since it was listed
                    status = one.stat()
                    found.append([str(one), status.st_size, status.st_mtime_ns])
        return json.dumps(found)
