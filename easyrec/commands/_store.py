"""What the tools of `easyrec store` share."""

from __future__ import annotations

import argparse
import contextlib
import datetime
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

from easyrec.commands._options import add_overrides
from easyrec.commands._print import console, count, line, table
from easyrec.errors import ConfigError

if TYPE_CHECKING:
    from easyrec.store.changes import Change
    from easyrec.store.definitions import ModelFeatures, StoreConfig, View
    from easyrec.store.online import OnlineStore
    from easyrec.store.quality.checks import Checked


T = TypeVar("T")


def add_definitions(parser: argparse.ArgumentParser) -> None:
    """Add `-c` and `-o`."""
    parser.add_argument("-c", "--config", required=True, metavar="FILE", help="the store's YAML")
    add_overrides(parser)


def definitions(args: argparse.Namespace) -> StoreConfig:
    """What the YAML says.

    Raises:
        ConfigError: Everything wrong with it, with lines.
    """
    from easyrec.store.definitions import load_store  # noqa: PLC0415 (help must not wait for it)

    return load_store(args.config, args.override)


def view_of(config: StoreConfig, name: str, file: str) -> View:
    """The view of a name.

    Args:
        config: What is defined.
        name: Of the view.
        file: Where that is said.

    Raises:
        ConfigError: There is none.
    """
    return named(config.view, name, file)


def model_of(config: StoreConfig, name: str, file: str) -> ModelFeatures:
    """The same of the features of a model."""
    return named(config.model, name, file)


def named(find: Callable[[str], T], name: str, file: str) -> T:
    """What definitions call by a name.

    Raises:
        ConfigError: There is nothing of this name.
    """
    try:
        return find(name)
    except ValueError as error:
        raise ConfigError(str(error), file) from None


def columns_of(config: StoreConfig, view: View) -> list[str]:
    """The columns that rows of a view have: the key, the fields, the time, and what expectations look at beside them."""
    beside = [name for one in view.expect for name in getattr(one, "columns", ())]
    times = [view.event_time] if view.event_time else []
    return list(dict.fromkeys([config.entity(view.entity).join_id, *view.held, *times, *beside]))


@contextlib.contextmanager
def opened(config: StoreConfig) -> Iterator[OnlineStore]:
    """The online store, closed in the end."""
    store = config.online.open(config.project)
    try:
        yield store
    finally:
        store.close()


def print_changes(title: str, changes: Sequence[Change]) -> None:
    """A table of what differs."""
    shown = table(title, "", "what", "before", "after", "breaks", right=5)
    for change in changes:
        shown.add_row(change.kind, change.what, change.before, change.after, change.breaks)
    console().print(shown)


def instant(seconds: float) -> str:
    """A time since 1970 as people read it."""
    return f"{datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc):%Y-%m-%d %H:%M:%S} UTC"


def print_checks(found: Sequence[Checked]) -> None:
    """A table of what was expected and what was found."""
    from easyrec.store.quality.gate import said  # noqa: PLC0415 (help must not wait for it)

    shown = table("quality", "view", "expected", "", "found", right=4)
    for checked in found:
        for result in checked.results:
            shown.add_row(checked.view, result.expected, result.status, said(result))
    console().print(shown)
    for checked in found:
        if checked.file:
            line(f"{checked.view}: {count(checked.set_aside)} of {count(checked.rows)} rows are in {checked.file}")
