"""First configs of statistics, and the catalogue that a first config names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from easyrec.config import load_experiment
from easyrec.config.statistic import StatisticConfig
from easyrec.data.intake import raw_columns
from easyrec.data.sides import Sides
from easyrec.errors import ConfigError, Problem
from easyrec.starter.keys import comment, feature_lines, flow, keys_of
from easyrec.starter.rows import Rows

PASSED_OVER = ("embedding_dim", "embedding_init", "tasks")
"""Keys of all models that say nothing to one that is counted."""
ROWS = 200_000
"""Exposures of the embedded shop whose items are its catalogue."""


def taken(kind: str, rows: Rows) -> dict[str, Any]:
    """Groups by which a statistic knows what users took: their sequences of items, else an id of users and one of items.

    Raises:
        ConfigError: The data have neither.
    """
    for sequence, candidates in rows.sequences.items():
        if candidates:
            return {"user": {"sequences": [{"sequence": sequence}]}, "item": candidates[:1]}
    items = [name for name in rows.names("item") if name not in rows.numbers and name != rows.user]
    if rows.user not in rows.sides or not items:
        text = (
            f"'{kind}' counts what users took, but the data have neither a column such as user_id beside one such as "
        )
        raise ConfigError([Problem(f"{text}item_id, nor lists such as clicks__item_id beside item_id", "--data")])
    return {"user": [rows.user], "item": [next((name for name in items if name.endswith("item_id")), items[0])]}


def lines_of(config: type[StatisticConfig], rows: Rows, items: str) -> Iterator[str]:
    """The sections of a statistic's first config.

    Args:
        config: Of the statistic.
        rows: The data.
        items: File of the catalogue.
    """
    kind = config.model_fields["type"].default
    groups = taken(kind, rows)
    in_lists = isinstance(groups["user"], dict)
    read = {groups["user"]["sequences"][0]["sequence"]} if in_lists else {*groups["user"]}
    read |= {*groups["item"]}
    about = "A row is a user with the sequence of what it took; of valid and test also with the item that came next."
    pairs = (
        "A row is a user and an item that it took, whatever other columns say: keep rows of clicks or purchases alone."
    )
    yield "data:"
    yield from comment(about if in_lists else pairs, 2)
    yield from rows.sources
    yield "  # The items that can be found, one row each."
    yield f"  items: {flow({'type': 'parquet', 'path': items})}"
    yield "  # The feature that tells them apart."
    yield f"  item_id: {groups['item'][0]}"
    yield "  # Columns that answers keep."
    yield f"  reserved: {flow(rows.reserved)}"
    yield f"  batch_size: {rows.batch_size}"
    yield ""
    yield from (line for text in rows.about for line in comment(text, 0))
    yield "features:"
    yield from (line for feature in rows.features if feature["name"] in read for line in feature_lines(feature))
    yield ""
    yield "model:"
    yield f"  type: {kind}"
    yield "  # By what a user is known, and an item."
    yield "  groups:"
    yield from (f"    {name}: {flow(group)}" for name, group in groups.items())
    passed_over = {name: config.model_fields[name].get_default(call_default_factory=True) for name in PASSED_OVER}
    yield from keys_of(config, {}, 2, {"type": kind, "groups": groups, **passed_over})
    yield ""
    yield "# The whole catalogue is ranked for each row of valid and test."
    yield "eval: {retrieval: {metrics: [{type: recall, k: 10}, {type: ndcg, k: 10}, {type: coverage, k: 10}]}}"


def write_items(text: str, path: Path) -> int:
    """Write the items that the rows of a config's training are about, one row each.

    Args:
        text: The config.
        path: The parquet file.

    Returns:
        How many there are.
    """
    settings = yaml.safe_load(text)
    if settings["data"]["train"]["type"] == "synthetic":
        settings["data"]["train"]["rows"] = ROWS
    experiment = load_experiment(settings)
    assert experiment.data.train is not None
    source = experiment.data.train.open()
    try:
        generator = Sides(experiment).generator("items")
        columns = raw_columns(generator, source)
        (key, *_) = raw_columns(generator.only([experiment.data.item_id]), source)
        found = pa.Table.from_batches(
            (batch for unit in source.units() for batch in source.read(unit, columns)),
            pa.schema([(name, source.columns[name]) for name in columns]),
        )
    finally:
        source.close()
    codes = found[key].combine_chunks().dictionary_encode().indices
    known = np.flatnonzero(codes.is_valid().to_numpy(zero_copy_only=False))
    _, first = np.unique(codes.take(pa.array(known)).to_numpy(), return_index=True)
    pq.write_table(found.take(pa.array(np.sort(known[first]))), path)
    return len(first)
