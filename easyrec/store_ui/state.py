"""What is known of a store at this moment."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from easyrec.store.changes import Change, changes
from easyrec.store.definitions import StoreConfig, View
from easyrec.store.freshness import newest, parsed, place_of
from easyrec.store.head import Head
from easyrec.store.near import NearStore
from easyrec.store.online import OnlineStore
from easyrec.store.quality.checks import Checked, Checks
from easyrec.store.reader import EntityReader
from easyrec.store.registry import Registry, Version

REDACTED = "(redacted)"
STATS_S, STATS_BYTES = 3.0, 1 << 20
"""How long a server that reads the store may take to tell, and how much."""


@dataclass(frozen=True)
class ViewState:
    """A view as it is published.

    Attributes:
        generation: What is read; None: nothing was published.
        rows: Rows that were written for it.
        published: Seconds since 1970.
        newest: Latest event time, seconds since 1970; None: its rows have no times.
        former: The generation that can be returned to.
        writing: Since when another generation is being written, seconds since 1970.
        checked: The last verdict on its rows.
    """

    generation: int | None = None
    rows: int | None = None
    published: float | None = None
    newest: float | None = None
    former: int | None = None
    writing: float | None = None
    checked: Checked | None = None


class State:
    """Looks at a store whenever it is asked.

    Args:
        config: What is defined.
        store: Where rows are.
        clock: Seconds since 1970.
    """

    def __init__(self, config: StoreConfig, store: OnlineStore, clock: Callable[[], float] = time.time) -> None:
        self.config, self.store, self.clock = config, store, clock
        self.checks = Checks(config.registry, config.project)

    def views(self) -> dict[str, ViewState]:
        """All views, by name.

        Raises:
            StoreError: The store cannot be reached, or is damaged.
        """
        names = [entity.name for entity in self.config.entities]
        heads = {name: Head.of(self.store.read(name, [])[0]) for name in names}
        written = {name: parsed(self.store.read(place_of(name), [])[0]) for name in names}
        return {view.name: self._view(view, heads[view.entity], written[view.entity]) for view in self.config.views}

    def _view(self, view: View, head: Head, written: Mapping[str, tuple[int, int]]) -> ViewState:
        known = head.views.get(view.name)
        checked = next(iter(self.checks.latest(view.name, 1)), None)
        if known is None or known.live is None:
            return ViewState(checked=checked)
        live, latest = known.live, newest(head, view.name, written)
        return ViewState(
            live.generations[-1],
            live.rows,
            live.published,
            None if latest is None else latest / 1e6,
            None if known.former is None else known.former.generations[-1],
            None if known.writing is None else known.writing.since,
            checked,
        )

    def values(self, view: View, key: str) -> dict[str, Any] | None:
        """What a view holds of a key, without what is redacted; None: no row that is young enough.

        Raises:
            DataError: The key is none.
            StoreError: The store cannot be reached, or is damaged.
        """
        entity = self.config.entity(view.entity)
        columns = {name: (view, name) for name in view.types}
        reader = EntityReader(NearStore(self.store), entity.name, entity.join_id, columns, self.clock)
        found = reader.read([key]).to_pylist()[0]
        if not reader.counts()[view.name].hits:
            return None
        return {name: REDACTED if is_redacted(view, name) else value for name, value in found.items()}

    def reads(self) -> dict[str, dict[str, Any] | str]:
        """What servers that read the store have counted, by their addresses; a text says why one tells nothing."""
        ui, made = self.config.ui, dict[str, dict[str, Any] | str]()
        headers = {} if ui.stats_token is None else {"Authorization": f"Bearer {ui.stats_token}"}
        for address in ui.stats:
            asked = urllib.request.Request(f"{address.rstrip('/')}/stats", headers=headers)  # noqa: S310 (checked)
            try:
                with urllib.request.urlopen(asked, timeout=STATS_S) as answer:  # noqa: S310 (checked)
                    found = json.loads(answer.read(STATS_BYTES))
                made[address] = found if isinstance(found, dict) else "its /stats are of another kind"
            except (OSError, ValueError) as error:
                if isinstance(error, urllib.error.HTTPError):
                    error.close()
                made[address] = f"does not tell: {getattr(error, 'reason', None) or error}"
        return made

    def versions(self) -> list[tuple[Version, list[Change]]]:
        """What was applied, with what changed, the latest first."""
        versions = Registry(self.config.registry).versions(self.config.project)
        made: list[tuple[Version, list[Change]]] = []
        before = None
        for version in versions:
            made.append((version, changes(before, version.config)))
            before = version.config
        return made[::-1]

    def told(self) -> dict[str, Any]:
        """All of it but values, as JSON takes it."""
        now = self.clock()
        views = {}
        for name, state in self.views().items():
            age = None if state.newest is None else now - state.newest
            views[name] = {**asdict(state), "age_seconds": age}
        return {"project": self.config.project, "store": self.store.shown, "at": now, "views": views}


def is_redacted(view: View, name: str) -> bool:
    """Whether a column that is read holds values of a field that is redacted; in a sequence it is called `<sequence>__<field>`."""
    return any(field.redact and field.name in (name, name.rpartition("__")[2]) for field in view.fields)


def definition(view: View) -> dict[str, Any]:
    """What a view says, without what may be a secret of its source."""
    told: dict[str, Any] = view.model_dump(mode="json", exclude_defaults=True, include=set(SHOWN))
    if view.source is not None:
        told["source"] = _without_secrets(view.source.model_dump(mode="json", exclude_defaults=False))
    if view.transform is not None:
        told["transform"] = _transform(told["transform"])
    if view.stream is not None:
        told["stream"]["source"] = _without_secrets(view.stream.source.model_dump(mode="json", exclude_defaults=False))
    if view.expect:
        told["expect"] = [_expected(one) for one in view.expect]
    return told


def is_open(change: Change) -> bool:
    """Whether what a change is from and to holds no address, which may have a password in it."""
    return " . field '" in change.what or change.what.rpartition(" . ")[2] in SHOWN


def _expected(one: Any) -> dict[str, Any]:
    told = {"type": one.type, **one.model_dump(mode="json", exclude_defaults=True)}
    if told.get("baseline") is not None:
        told["baseline"] = _without_secrets(told["baseline"])
    return told


SHOWN = (
    *("name", "type", "entity", "fields", "source", "transform", "stream", "events"),
    *("event_time", "created_time", "ttl", "online", "expect", "quarantine", "description", "owner", "tags"),
)
"""Keys of a view that are shown."""
OPEN = ("type", "path", "table", "name", "topic", "partition")
"""Keys of a source that are shown."""


def _without_secrets(source: Mapping[str, Any]) -> dict[str, Any]:
    """A source without the keys that may hold secrets."""
    return {key: value for key, value in source.items() if key in OPEN and value is not None}


def _transform(told: Mapping[str, Any]) -> dict[str, Any]:
    """A transform whose tables are shown without what may be a secret."""

    def one(given: Any) -> Any:
        return _without_secrets(given) if isinstance(given, Mapping) else given

    inputs = {"inputs": {name: one(given) for name, given in told["inputs"].items()}} if "inputs" in told else {}
    return {**told, **inputs, **({"input": one(told["input"])} if "input" in told else {})}
