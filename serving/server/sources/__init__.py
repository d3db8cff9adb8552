"""Sources of bundles and deltas: where a server finds what it is to answer with. One file per kind of place.

A member has a `Config` whose `open` gives a `Source`. A plain text stands for one: the scheme of a URL names the member
(`redis://`), a path is a `folder`, and every other URL is one of an `object_store`.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from easyrec.errors import BundleError
from easyrec.export.trust import Trust
from feature_generator.config import Choice, StrictModel, member, members


@dataclass(frozen=True)
class Offer:
    """A bundle or delta that a source has.

    Attributes:
        place: What people call it, without secrets.
        digest: Of its manifest; empty where that cannot be read.
        fetch: Gives its folder on this machine, all of it there. Raises BundleError.
        base: Of a delta: digest of the bundle that it begins at.
        result: Of a delta: digest of what comes out.
        error: Why it cannot be taken.
    """

    place: str
    digest: str
    fetch: Callable[[], Path]
    base: str = ""
    result: str = ""
    error: BundleError | None = None


class Source(ABC):
    """A place that is looked at again and again. For one thread at a time; both methods raise BundleError."""

    shown: str
    """What people call it, without secrets."""

    @abstractmethod
    def bundle(self) -> Offer:
        """The bundle that is there at this moment."""

    @abstractmethod
    def deltas(self) -> list[Offer]:
        """The deltas that are there at this moment, in the order in which they are tried."""


@dataclass(frozen=True)
class Room:
    """What a source that fetches is given.

    Attributes:
        folder: Where it puts what it fetched: `bundles/<digits>` and `deltas/<digits>`.
        trust: Whose bundles are taken; a manifest is looked at before the rest is fetched.
    """

    folder: Path
    trust: Trust | None = None


class SourceConfig(StrictModel, ABC):
    """Base of the configs."""

    @classmethod
    @abstractmethod
    def of_url(cls, url: str) -> dict[str, Any]:
        """The keys that a text stands for."""

    @abstractmethod
    def open(self, room: Room) -> Source:
        """The source.

        Raises:
            MissingExtra: A package is not installed.
            ConfigError: It cannot be used as it is configured.
        """


class Place(Choice):
    """Annotation of a config value that is a source: a text, or a mapping with a `type`."""

    def __init__(self) -> None:
        super().__init__(__name__)

    def resolve(self, value: Any) -> Any:
        """The validated config; a text stays one, once it is known to be right."""
        if not isinstance(value, str):
            if not isinstance(value, Mapping | SourceConfig):
                raise ValueError("must be a path, a URL, or a mapping with a 'type'")
            return super().resolve(value)
        source_config(value)
        return value


def source_config(value: Any) -> SourceConfig:
    """The config that a text stands for; a config stands for itself.

    Raises:
        ValueError: The text is wrong.
    """
    if isinstance(value, SourceConfig):
        return value
    if not value:
        raise ValueError("is empty")
    scheme = urlsplit(value).scheme if "://" in value else ""
    kind = SCHEMES.get(scheme, scheme if scheme in members(__name__) else "object_store")
    config = member(__name__, kind).Config
    found: SourceConfig = config.model_validate({"type": kind, **config.of_url(value)})
    return found


def hidden(url: str) -> str:
    """A URL as people may see it: without user and password."""
    return re.sub(r"(?<=://)[^/@]*@", "", url)


SCHEMES = {"": "folder", "file": "folder", "rediss": "redis"}
"""Schemes whose member is not called like them."""
