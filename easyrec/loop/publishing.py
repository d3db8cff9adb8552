"""What is served: a folder that a server watches, and how it comes to hold the version that it should.

    current      a link to the newest whole bundle
    bundles/     these, by version
    deltas/      what makes one version of another; also the ways back from versions that were rolled back
    served.json  which version it is

`settle` looks at what should be served, and at what lies there, and mends the difference: so it may be stopped at any moment and
be called again. A server that follows the folder is never led to a version that was refused or rolled back.
"""

from __future__ import annotations

import re
import shutil
import time
from pathlib import Path
from typing import Any

from easyrec.durable import sync
from easyrec.errors import BundleError, RunError
from easyrec.export.bundle import MANIFEST, digest_of, read_manifest
from easyrec.export.delta import make_delta
from easyrec.export.manifest import DeltaManifest
from easyrec.loop.config import LoopConfig
from easyrec.loop.versions import Manifest, Versions, held, link_tree, write_manifest
from easyrec.loop.versions import read_manifest as read_told

OWNER = ".loop.json"
"""Whose folder it is."""
CURRENT, BUNDLES, DELTAS, SERVED = "current", "bundles", "deltas", "served.json"


class Publisher:
    """Publishes versions.

    Args:
        loop: The loop.
        versions: What is known of them.
    """

    def __init__(self, loop: LoopConfig, versions: Versions) -> None:
        self.loop, self.versions, self.folder = loop, versions, Path(loop.publish.to)
        self._own()

    def publish(self, number: int) -> bool:
        """Serve a version that passed the gate; False where it was rolled back meanwhile.

        Raises:
            RunError: It did not pass.
        """
        with held(self.versions.publishing, "publishing", wait=True):
            if self.versions.is_rolled_back(number):
                return False
            if not self.versions.passed(number):
                raise RunError(f"version {number} did not pass the gate, and is not served")
            if self.versions.read(number, "publish") is not None:
                self._settle(number)
                return True
            begun, before = time.monotonic(), self.versions.served
            delta = None if before is None or not self.loop.publish.delta else self._delta(before, number)
            whole = before is None or delta is None or self._since_whole(number) >= self.loop.publish.full_every
            if whole:
                self._whole(number)
                self.point(number)
            told: Manifest = {
                "before": before,
                "delta": delta,
                "whole": whole,
                "bundle": digest_or_none(self.versions.run(number) / "bundle"),
                "seconds": round(time.monotonic() - begun, 3),
            }
            self.versions.write(number, "publish", told)
            self._settle(number)
            return True

    def roll_back(self, to: int | None = None, why: str = "", *, relearn: bool = False) -> tuple[int, int]:
        """Serve a former version again, and none of those that came after it.

        Args:
            to: Which. Default: the one before the one that is served.
            why: To be remembered.
            relearn: Whether what these learned is learned again.

        Returns:
            Which was served, and which one is now.

        Raises:
            RunError: There is no such version to go back to.
        """
        with held(self.versions.publishing, "publishing", wait=True):
            served = self.versions.served
            if served is None:
                raise RunError("nothing is served that could be rolled back")
            fine = [
                n
                for n in self.versions
                if n < served and self.versions.read(n, "publish") and not self.versions.is_rolled_back(n)
            ]
            target = to if to is not None else max(fine, default=None)
            if target is None or target not in fine:
                known = ", ".join(map(str, fine)) or "none"
                what = "no version was served before it" if to is None else f"version {to} cannot be gone back to"
                raise RunError(f"version {served} is served, and {what}; kept: {known}")
            self.versions.roll_back(target, why, relearn=relearn)
            self.versions.tell({"version": served, "result": "rolled back", "to": target, "why": why})
            self._settle(target)
            return served, target

    def settle(self) -> None:
        """Let the folder hold what should be served."""
        with held(self.versions.publishing, "publishing", wait=True):
            served = self.versions.served
            if served is not None:
                self._settle(served)

    @property
    def current(self) -> int | None:
        """The version that `current` is."""
        form = re.match(r"^(\d+)", self.pointed or "")
        return None if form is None else int(form[1])

    @property
    def pointed(self) -> str | None:
        """The name of the bundle that `current` is."""
        link = self.folder / CURRENT
        return link.readlink().name if link.is_symlink() else None

    # ----------------------------------------------------------------------------------------- inside

    def _own(self) -> None:
        """Have the folder for this loop alone.

        Raises:
            RunError: Another loop publishes into it.
        """
        state, told = str(self.versions.state.resolve()), self.folder / OWNER
        owner = read_told(told)
        if owner is None:
            write_manifest(told, {"state": state})
        elif owner["state"] != state and Path(owner["state"]).is_dir():
            raise RunError(
                f"{self.folder}: the loop of {owner['state']} publishes into it: give this one a folder of its own"
            )
        elif owner["state"] != state:  # that one is gone, or was moved here
            write_manifest(told, {"state": state})

    def _settle(self, wanted: int) -> None:
        for path in self._deltas():
            if self._leads_astray(path, wanted):
                _remove(path)
        current = self.current
        if (
            current is None
            or current > wanted
            or self.versions.is_rolled_back(current)
            or not self._chained(current, wanted)
        ):
            self._whole(wanted)
            self.point(wanted)
        for number in self._left(wanted):
            self._delta(number, wanted, f"{number:06d}-back-{wanted:06d}")
        told = self.versions.read(wanted, "plan") or {}
        made = {
            "version": wanted,
            "bundle": digest_or_none(self.versions.run(wanted) / "bundle"),
            "trained_until": told.get("trained_until"),
            "published": (self.versions.read(wanted, "publish") or {}).get("at"),
        }
        if read_told(self.folder / SERVED) != made:
            write_manifest(self.folder / SERVED, made)
        self._tidy(wanted)

    def _deltas(self) -> list[Path]:
        folder = self.folder / DELTAS
        return sorted(path for path in folder.iterdir() if path.name[0] != ".") if folder.is_dir() else []

    def _leads_astray(self, path: Path, wanted: int) -> bool:
        """Whether a delta makes something that should not be served."""
        start, _, to = path.name.partition("-back-")
        made = int(to or start) if (to or start).isdecimal() else -1
        return made > wanted or self.versions.is_rolled_back(made)

    def _chained(self, current: int, wanted: int) -> bool:
        """Whether deltas lead from the whole bundle to the version."""
        at = self._digest(current)
        goal = self._digest(wanted)
        if goal is None:  # two towers come whole
            return current == wanted
        steps = {}
        for path in self._deltas():
            try:
                manifest = read_manifest(path, DeltaManifest)
            except BundleError:
                continue
            steps[manifest.base] = manifest.result
        for _ in range(len(steps) + 1):
            if at == goal:
                return True
            if at is None or at not in steps:
                return False
            at = steps[at]
        return False

    def _digest(self, number: int) -> str | None:
        run = self.versions.run(number) / "bundle"
        found = digest_or_none(run)
        return found if found is not None else digest_or_none(self.folder / BUNDLES / f"{number:06d}")

    def _left(self, wanted: int) -> list[int]:
        """Versions that were rolled back and that a server may still answer with."""
        back = self.versions.rollbacks
        if not self.loop.publish.delta or not back or back[-1]["to"] != wanted:
            return []
        numbers = range(wanted + 1, back[-1]["last"] + 1)
        # One that passed may have been seen before its manifest was written.
        return [n for n in numbers if self.versions.passed(n) and digest_or_none(self.versions.run(n) / "bundle")]

    def _delta(self, before: int, number: int, name: str | None = None) -> str | None:
        """Write what makes a version of another one; None where that cannot be."""
        old, new = (self.versions.run(n) / "bundle" for n in (before, number))
        if digest_or_none(old) is None or digest_or_none(new) is None:
            return None  # two towers, or one that was let go of
        target = self.folder / DELTAS / (name or f"{number:06d}")
        if (target / MANIFEST).exists():
            manifest = read_manifest(target, DeltaManifest)
            if (manifest.base, manifest.result) == (digest_of(old), digest_of(new)):
                return target.name
        make_delta(old, new, target, overwrite=True)
        return target.name

    def _since_whole(self, number: int) -> int:
        """How many versions there are since the last whole one, with this one."""
        current = self.current
        if current is None:
            return self.loop.publish.full_every
        return 1 + sum(current < n < number and self.versions.read(n, "publish") is not None for n in self.versions)

    def _whole(self, number: int) -> None:
        target = self.folder / BUNDLES / f"{number:06d}"
        if not target.exists():
            link_tree(self.versions.run(number) / "bundle", target)

    def point(self, number: int, name: str | None = None) -> None:
        """Let `current` be a bundle, at one stroke."""
        link, partial = self.folder / CURRENT, self.folder / f".{CURRENT}.writing"
        goal = f"{BUNDLES}/{name or f'{number:06d}'}"
        if link.is_symlink() and str(link.readlink()) == goal:
            return
        partial.unlink(missing_ok=True)
        partial.symlink_to(goal)
        partial.replace(link)
        sync(self.folder)

    def _tidy(self, wanted: int) -> None:
        """Remove what no server needs that follows the folder: it may be some versions behind."""
        oldest = wanted - max(self.loop.keep, self.loop.publish.full_every)
        current = self.current
        bundles = self.folder / BUNDLES
        for path in bundles.iterdir() if bundles.is_dir() else ():
            form = re.match(r"^(\d+)", path.name)
            number = None if form is None else int(form[1])
            if number is not None and number != current and (number < oldest or self.versions.is_rolled_back(number)):
                _remove(path)
        for path in self._deltas():
            number = int(path.name[:6]) if path.name[:6].isdigit() else None
            if number is not None and number < min(oldest, current if current is not None else oldest):
                _remove(path)


def digest_or_none(path: Path) -> str | None:
    """Digest of a bundle; None where there is none, or two of two towers."""
    return digest_of(path) if (path / MANIFEST).exists() else None


def _remove(path: Path) -> None:
    """Remove a folder, of which nobody sees a part."""
    gone = path.with_name(f".{path.name}.gone")
    shutil.rmtree(gone, ignore_errors=True)
    path.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


def served_by(folder: Path) -> dict[str, Any] | None:
    """What the folder says of the version that it serves."""
    return read_told(folder / SERVED)
