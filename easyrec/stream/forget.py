"""Takes what is known of some ids from the states of stream views."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from easyrec.store.definitions import StoreConfig, View
from easyrec.store.forget import entities_of
from easyrec.store.writer import key_bytes
from easyrec.stream.outbox import SPACE, packed, unpacked
from easyrec.stream.runner import KEYS
from easyrec.stream.state import every


def views_of(config: StoreConfig, join_id: str, folder: Path) -> dict[str, Path]:
    """The stream views that count by these ids, and where the state of each lies; of those that have one."""
    entities, made = entities_of(config, join_id), {}
    for view in config.views:
        if view.stream is not None and view.entity in entities:
            path = view.stream.state.place(folder / f"{view.name}.state")
            if path.exists():
                made[view.name] = path
    return made


def forget_state(view: View, ids: Sequence[Any], folder: Path) -> int:
    """Take what is kept of some ids from the state of a stream view, which nobody may use meanwhile.

    Args:
        view: The view; its state is there.
        ids: Texts or whole numbers.
        folder: Where the state lies, unless the config says.

    Returns:
        How many ids it knew.

    Raises:
        StoreError: A process uses the state, or it cannot be used.
    """
    assert view.stream is not None
    keys = list(dict.fromkeys(key_bytes(list(ids))))
    gone = set(keys)
    state = view.stream.state.open(folder / f"{view.name}.state")
    try:
        known = sum(value is not None for value in state.get(KEYS, keys))
        due = [(name, unpacked(value)) for name, value in every(state, SPACE)]
        less = [(name, [key for key in some if key not in gone]) for name, some in due if not gone.isdisjoint(some)]
        names = [name for name, _ in less]
        values = [packed(some) if some else b"" for _, some in less]
        state.commit([(KEYS, keys, [b""] * len(keys)), (SPACE, names, values)])
    finally:
        state.close()
    return known
