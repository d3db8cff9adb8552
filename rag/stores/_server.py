"""What stores on servers share: whose they are, and what they were told."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from abc import abstractmethod
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import StringConstraints

from easyrec.errors import ConfigError, StoreError
from rag.stores import VectorStore

Variable = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Prefix = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
NAMED = 40
"""Characters of a knowledge base's name that its collection has."""


class ServerStore(VectorStore):
    """Vectors of one knowledge base on a server that holds others too. A store has `told_there` and `tell`.

    Where two processes tell it of changes at the same time, one may overwrite what the other knew better. So who finds that
    another one told something meanwhile lets the server know no more than both had begun with: that is told again.

    Args:
        folder: Of the knowledge base.
        shown: What people call the place, without secrets.
    """

    def __init__(self, folder: Path, shown: str) -> None:
        self.shown, self.own = shown, _identity(folder)
        self._since, self._behind = 0, False

    @abstractmethod
    def told_there(self) -> int:
        """What the server says it was told."""

    @abstractmethod
    def tell(self, expected: int, change: int) -> int | None:
        """Let the server know of a change, or of no more than it knew if that is not what was expected.

        Returns:
            What it knew; None where it has nothing yet that could know.
        """

    def told(self) -> int:
        """The last change that the server knows of."""
        self._since, self._behind = self.told_there(), False
        return self._since

    def commit(self, change: int) -> None:
        """Let what was changed be found."""
        if not self._behind and (knew := self.tell(self._since, change)) is not None:
            self._behind = knew != self._since
            self._since = change

    def forgotten(self) -> None:
        """Nothing is known any more: everything is told anew."""
        self._since, self._behind = 0, False

    def checked(self, vectors: np.ndarray, dim: int) -> np.ndarray:
        """Vectors as the server takes them.

        Raises:
            StoreError: They are of another model, or hold what is no number.
        """
        if vectors.shape[-1] != dim:
            text = f"{self.shown} has vectors of {dim} numbers, but here are {vectors.shape[-1]}"
            raise StoreError(text)
        if not np.isfinite(vectors).all():
            raise StoreError(f"{self.shown}: a vector has a number that is not finite")
        return vectors

    def check_owner(self, identity: str | None, what: str) -> None:
        """Whether something on the server is of this knowledge base.

        Raises:
            StoreError: It is not.
        """
        if identity != self.own:
            whose = "another knowledge base" if identity else "something else than a knowledge base"
            text = (
                f"{self.shown}: {what} belongs to {whose}: name another 'prefix', or drop it there if nobody needs it"
            )
            raise StoreError(text)


def collection_of(prefix: str, name: str) -> str:
    """What the collection of a knowledge base is called: letters, digits and `_`, and for two names never the same."""
    plain = re.sub(r"[^a-z0-9_]", "_", name.lower())[:NAMED]
    return prefix + (plain if plain == name else f"{plain}_{hashlib.sha256(name.encode()).hexdigest()[:10]}")


def secret_of(variable: str | None, what: str) -> str | None:
    """A secret from the environment, or None where there is none.

    Raises:
        ConfigError: Its variable is not set.
    """
    if variable is None:
        return None
    value = os.environ.get(variable, "").strip()
    if not value:
        raise ConfigError(f"environment variable '{variable}' is not set: it holds {what}")
    return value


def _identity(folder: Path) -> str:
    """What tells the knowledge base of a folder from all others; a new one is drawn where there is none.

    Raises:
        StoreError: The folder refuses.
    """
    path = folder / "identity"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            draft = folder / f".identity-{secrets.token_hex(8)}"
            draft.write_text(secrets.token_hex(16), encoding="ascii")
            try:
                path.hardlink_to(draft)  # whole
            except FileExistsError:  # another process was first
                pass
            finally:
                draft.unlink()
        found = path.read_text(encoding="ascii")
    except (OSError, UnicodeError) as error:
        raise StoreError(f"{path} cannot be read or made: {error}") from None
    if not re.fullmatch("[0-9a-f]{32}", found):
        raise StoreError(f"{path} is damaged")
    return found
