"""What the demo shop is made of: the embedded shop's items and clicks, four small models, tables and configs in one folder."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

import easyrec
from easyrec.data.shop import ShopData, generate
from easyrec.data.shop.catalogue import DAYS, NUM_BRANDS
from easyrec.data.shop.words import brand_name
from easyrec.durable import write_text
from easyrec.errors import RunError

CONFIGS = Path(__file__).parent / "configs"
DAY = 86_400
MARK, DONE = ".demo_shop", "built.json"
HISTORY = 20
"""Clicks before a click that the two towers learn from."""
PERSONAS = 6
"""Users of the shop as whom one may look around."""
REMEMBERED = 30
"""Newest clicks of such a user that the engine knows from the start."""


def built(folder: Path, rows: int, clicks: int, *, fresh: bool, tell: Callable[[str], None]) -> bool:
    """Make all that the shop needs, unless it is there already.

    Args:
        folder: Where.
        rows: Exposures of the embedded shop, of which the ranking models see the first 26 days.
        clicks: The newest clicks that the two towers learn from.
        fresh: Whether it is made anew in any case.
        tell: Is told what is done.

    Returns:
        Whether anything was made.

    Raises:
        RunError: Something else lies there, which would be lost.
    """
    wanted = {"rows": rows, "clicks": clicks, "made_by": _digest()}
    done = folder / DONE
    with contextlib.suppress(OSError, ValueError):
        if not fresh and json.loads(done.read_text()) == wanted:
            return False
    if folder.exists() and not (folder / MARK).exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RunError(f"{folder} holds something else than a demo shop: name another --folder")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / MARK).touch()
    with _inside(folder):
        begun = time.perf_counter()
        tell(f"generating the shop: 20,000 users, 10,000 items, {rows:,} exposures in 30 days")
        shop = generate(rows, seed=0)
        write_tables(shop, clicks)
        for path in CONFIGS.glob("*.yaml"):
            shutil.copy(path, path.name)
        for name, why in (
            ("neighbours", "items that the same users clicked"),
            ("two_tower", "recall: a vector for each user and item"),
            ("light", "pre-rank: a small model of clicks"),
            ("ranker", "rank: clicks and purchases, with attention over the newest clicks"),
        ):
            tell(f"training '{name}': {why}")
            easyrec.train(f"{name}.yaml", overrides=_overrides(name, rows), overwrite=True)
        tell("embedding all items")
        easyrec.embed("runs/two_tower", overwrite=True)
        tell(f"made in {time.perf_counter() - begun:.0f} s")
        write_text(Path(DONE), json.dumps(wanted))
    return True


def _overrides(name: str, rows: int) -> dict[str, Any]:
    if name in ("light", "ranker"):
        return {f"data.{part}.rows": rows for part in ("train", "valid")}
    return {}


def _digest() -> str:
    """Of what the folder is made by: another version of this file or of a config makes it anew."""
    text = b"".join(path.read_bytes() for path in (*sorted(CONFIGS.glob("*.yaml")), Path(__file__)))
    return blake2b(text, digest_size=8).hexdigest()


@contextlib.contextmanager
def _inside(folder: Path) -> Iterator[None]:
    """Paths of configs are relative to where one stands."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


# ------------------------------------------------------------------------------------------------ tables


def write_tables(shop: ShopData, clicks: int) -> None:
    """Write the catalogue, what is popular, clicks to learn from, and the users to look around as."""
    events = shop.clicks.events
    first_day = int(shop.requests.time[0]) // DAY
    day = events.time // DAY - first_day
    pq.write_table(items_of(shop, events.item), "items.parquet")
    counts = np.zeros((len(shop.items), DAYS + 2), np.int64)
    recent = day >= 0
    np.add.at(counts, (events.item[recent], np.minimum(day[recent], DAYS + 1)), 1)
    item, when = np.nonzero(counts)
    popular = {"item_id": item, "day": when * DAY, "clicks": counts[item, when]}
    pq.write_table(pa.table(popular), "popular.parquet")

    Path("clicks").mkdir()
    pairs = pa.table({"user_id": events.user, "item_id": events.item})
    newest = np.sort(np.argsort(events.time, kind="stable")[-clicks:])
    held = newest[_past_of(events.user, newest) > 0]
    learned = _with_past(shop, held)
    chance = np.random.default_rng(0).permutation(len(held))
    cut = min(2000, len(held) // 10)
    pq.write_table(learned.take(chance[cut:]), "clicks/train.parquet")
    pq.write_table(learned.take(chance[:cut]), "clicks/valid.parquet")
    pq.write_table(pairs, "clicks/pairs.parquet")
    pq.write_table(pairs.take(held[chance[:cut]]), "clicks/valid_pairs.parquet")
    write_personas(shop)


def items_of(shop: ShopData, clicked: npt.NDArray[np.int64]) -> pa.Table:
    """The catalogue: the shop's items, with names to show and a stock."""
    items, random = shop.items, np.random.default_rng(0)
    cate = items["cate"].to_numpy()
    names = {name: np.array(shop.categories[name].to_pylist(), object) for name in ("english", "parent_english")}
    brands = np.array([brand_name(brand)[0] for brand in range(NUM_BRANDS)], object)
    titles = pc.replace_substring_regex(
        items["title"], r"\s[^\x00-\x7f].*$", ""
    )  # behind the English one stands a Chinese
    stock = np.where(random.random(len(items)) < 0.03, 0, random.integers(1, 200, len(items)))
    return (
        items.set_column(items.schema.get_field_index("title"), "title", titles)
        .append_column("category", pa.array(names["english"][cate]))
        .append_column("department", pa.array(names["parent_english"][cate]))
        .append_column("brand_name", pa.array(brands[items["brand"].to_numpy()]))
        .append_column("stock", pa.array(stock.astype(np.int32)))
        .append_column("clicks", pa.array(np.bincount(clicked, minlength=len(items)).astype(np.int64)))
    )


def _past_of(user: npt.NDArray[np.int64], rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """How many of the user's clicks stand before each row, at most `HISTORY`; rows are sorted by user, then time."""
    starts = np.searchsorted(user, user[rows], side="left")
    found: npt.NDArray[np.int64] = np.minimum(rows - starts, HISTORY)
    return found


def _with_past(shop: ShopData, rows: npt.NDArray[np.int64]) -> pa.Table:
    """Clicks, with who clicked and what the user had clicked before."""
    events = shop.clicks.events
    lengths = _past_of(events.user, rows)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    places = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths) + np.repeat(rows - lengths, lengths)
    past = events.item[places].astype(np.int32)
    cate = shop.items["cate"].to_numpy().astype(np.int32)
    users = shop.users.take(events.user[rows])
    lists = {
        "click_seq__item_id": pa.ListArray.from_arrays(offsets.astype(np.int32), past),
        "click_seq__cate": pa.ListArray.from_arrays(offsets.astype(np.int32), cate[past]),
    }
    own = {name: users[name] for name in ("age", "gender", "city", "level")}
    return pa.table({**own, **lists, "item_id": events.item[rows]})


# ---------------------------------------------------------------------------------------------- personas


def write_personas(shop: ShopData) -> None:
    """Choose users with different tastes; what they clicked last becomes the event log that the engine starts from."""
    events = shop.clicks.events
    cate = shop.items["cate"].to_numpy()
    leaves = shop.categories["english"].to_pylist()
    newest = int(events.time.max())
    starts = np.searchsorted(events.user, np.arange(len(shop.users) + 1))
    active = np.flatnonzero(np.diff(starts) >= 2 * REMEMBERED)
    chosen: list[dict[str, Any]] = []
    lines: list[dict[str, Any]] = []
    taken = set[int]()
    now = int(time.time())
    for user in active.tolist():
        own = np.arange(starts[user + 1] - REMEMBERED, starts[user + 1])
        counts = np.bincount(cate[events.item[own]] // 10, minlength=20)
        best = int(counts.argmax())
        if best in taken or counts[best] < REMEMBERED // 3:
            continue
        taken.add(best)
        favourites = np.bincount(cate[events.item[own]], minlength=len(leaves)).argsort(kind="stable")[::-1][:3]
        columns = {name: shop.users[name][user].as_py() for name in ("age", "gender", "city", "level")}
        likes = [leaves[leaf] for leaf in favourites.tolist()]
        chosen.append({"user_id": f"u{user}", "likes": likes, "columns": columns})
        for row in own.tolist():
            ms = 1000 * (now - 3 * 3600 - (newest - int(events.time[row])))
            item = int(events.item[row])
            key = f"before-{user}-{row}"
            lines.append({"event_id": key, "type": "click", "user_id": f"u{user}", "item_id": item, "time": ms})
        if len(chosen) == PERSONAS:
            break
    write_text(Path("personas.json"), json.dumps(chosen, indent=1))
    lines.sort(key=lambda line: line["time"])
    Path("logs").mkdir()
    text = "".join(json.dumps({**line, "request_id": "before", "value": 1.0}) + "\n" for line in lines)
    write_text(Path("logs/events-00000000-before.jsonl"), text)
