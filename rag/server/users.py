"""Who asks, by the key of the request, and what they may see and do."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

from rag.server.config import Quota, Right, ServerConfig, UserConfig
from rag.server.refused import Refused

EVERYBODY = "*"
"""Whom documents are for that name nobody."""


@dataclass(frozen=True)
class User:
    """Somebody.

    Attributes:
        name: For logs, tasks and quotas.
        config: What they may do.
        quota: How much.
    """

    name: str
    config: UserConfig
    quota: Quota

    @property
    def access(self) -> tuple[str, ...] | None:
        """Whom documents may be for that they see; None: they see all."""
        return None if self.config.access == "all" else tuple(self.config.access)

    def sees(self, base: str) -> bool:
        """Whether a knowledge base is there for them."""
        return self.config.bases is None or base in self.config.bases

    def need(self, right: Right) -> None:
        """Look whether they have a right.

        Raises:
            Refused: They have not.
        """
        if not self.config.may(right):
            raise Refused(403, "forbidden", f"this needs the right '{right}', which this key does not have")

    def may_name(self, names: list[str]) -> None:
        """Look whether they may put in a document for these: nobody hides one from themselves or makes others read it.

        Raises:
            Refused: They may not.
        """
        own = self.access
        strange = [name for name in names if name != EVERYBODY and own is not None and name not in own]
        if strange:
            raise Refused(403, "access", f"'{strange[0]}' is not among those whom this key is for", param="access")


class Users:
    """All who may ask.

    Args:
        config: They, with their keys.
    """

    def __init__(self, config: ServerConfig) -> None:
        self._known = [(_digest(one.key), User(one.name, one, one.quota or config.quota)) for one in config.users]
        everybody = UserConfig(name="local", key="-" * 16, rights=["admin"], access="all")
        self._local = None if config.users else User("local", everybody, config.quota)

    @property
    def asks(self) -> bool:
        """Whether a key is needed."""
        return self._local is None

    def named(self, name: str) -> User | None:
        """Who is called so."""
        everybody = [self._local] if self._local is not None else [user for _, user in self._known]
        return next((user for user in everybody if user.name == name), None)

    def of(self, authorization: str) -> User:
        """Whose key a request has.

        Args:
            authorization: Its header.

        Raises:
            Refused: It has none, or nobody's.
        """
        if self._local is not None:
            return self._local
        scheme, _, key = authorization.partition(" ")
        given = _digest(key.strip()) if scheme.lower() == "bearer" else b""
        found = None
        for digest, user in self._known:  # all of them: how long it takes says nothing
            if hmac.compare_digest(given, digest):
                found = user
        if found is None:
            raise Refused(401, "invalid_api_key", "this needs a key: Authorization: Bearer ...")
        return found


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
