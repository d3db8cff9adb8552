import hashlib

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import roc_auc_score

from easyrec.data.shop import SCHEMA, SPLIT_DAYS, _town, generate

ROWS = 60_000
VERSION_1 = (
    "cba194dc445ac3eeb0ad0262c0980d42733b13f2f0be2e27db57736b83af508e"  # of 3,000 rows with seed 1, their test days
)
SEQUENCES = ("click_seq", "buy_seq")


@pytest.fixture(scope="module")
def shop():
    return generate(ROWS, seed=11)


@pytest.fixture(scope="module")
def test_rows(shop):
    return shop.table("test")


def digest(table: pa.Table) -> str:
    found = hashlib.sha256()
    for batch in table.combine_chunks().to_batches():
        for column in batch.columns:
            found.update(repr(column.to_pylist()).encode())
    return found.hexdigest()


def test_the_same_seed_gives_the_same_bytes(shop, test_rows):
    _town.cache_clear()
    assert generate(ROWS, seed=11).table("test").equals(test_rows)


def test_logs_of_one_seed_share_what_users_do_outside_of_the_feed():
    assert generate(10, seed=11).catalogue is generate(20, seed=11).catalogue


def test_version_1_never_changes():
    assert digest(generate(3_000, seed=1).table("test")) == VERSION_1


def test_another_seed_gives_another_shop(test_rows):
    other = generate(ROWS, seed=12).table("test")
    assert not other.slice(0, 100).equals(test_rows.slice(0, 100))


def test_rows_are_as_many_as_asked_and_fall_into_their_days(shop):
    parts = {split: shop.table(split, ["day"]) for split in ("train", "valid", "test")}
    assert sum(map(len, parts.values())) == shop.num_rows == ROWS
    for split, part in parts.items():
        days = set(part["day"].to_pylist())
        assert days <= set(SPLIT_DAYS[split])


def test_columns_are_those_of_the_schema(test_rows):
    assert test_rows.schema.equals(SCHEMA)
    assert all(column.null_count == 0 for column in test_rows.columns)


@pytest.mark.parametrize("sequence", SEQUENCES)
def test_histories_are_oldest_first_and_end_before_their_exposure(test_rows, sequence):
    times = test_rows[f"{sequence}__timestamp"].combine_chunks()
    exposures = np.repeat(test_rows["timestamp"].to_numpy(), np.diff(times.offsets.to_numpy()))
    values = times.flatten().to_numpy()
    assert (values < exposures).all()
    starts = np.zeros(len(values) + 1, bool)
    starts[times.offsets.to_numpy()] = True
    assert (np.diff(values)[~starts[1:-1]] >= 0).all()
    assert np.diff(times.offsets.to_numpy()).max() <= 500


@pytest.mark.parametrize("sequence", SEQUENCES)
def test_children_of_a_history_have_equal_lengths(test_rows, sequence):
    names = [n for n in test_rows.column_names if n.startswith(f"{sequence}__")]
    offsets = [test_rows[n].combine_chunks().offsets.to_numpy() for n in names]
    assert len(names) == 4
    assert all(np.array_equal(offsets[0], other) for other in offsets)


def test_ids_lie_in_their_ranges(shop):
    rows = shop.table("all", ["user_id", "item_id", "cate", "brand", "city", "position", "hour", "weekday"])
    for name, size in {"user_id": 20_000, "item_id": 10_000, "cate": 200, "brand": 2_000, "city": 300}.items():
        values = rows[name].to_numpy()
        assert values.min() >= 0
        assert values.max() < size
    assert rows["hour"].to_numpy().max() <= 23
    assert rows["weekday"].to_numpy().max() <= 6


def test_clicks_and_buys_have_their_rates_and_follow_their_chances(shop):
    rows = shop.table("all", ["click", "buy", "p_click", "p_buy", "p_buy_all"])
    click, buy = rows["click"].to_numpy(), rows["buy"].to_numpy()
    assert 0.06 < click.mean() < 0.10
    assert 0.07 < buy.sum() / click.sum() < 0.13
    assert not buy[click == 0].any()
    assert abs(rows["p_click"].to_numpy().mean() - click.mean()) < 0.005
    assert rows["p_buy_all"].to_numpy()[click == 1].mean() > rows["p_buy_all"].to_numpy().mean()


def test_the_best_possible_auc_is_in_its_range(shop):
    rows = shop.table("all", ["click", "p_click"])
    assert 0.80 < roc_auc_score(rows["click"], rows["p_click"]) < 0.84


def test_impossible_arguments_are_named():
    with pytest.raises(ValueError, match="rows must be"):
        generate(0, seed=1)
    with pytest.raises(ValueError, match="size must be"):
        generate(10, seed=1, size="huge")
    with pytest.raises(ValueError, match="version must be"):
        generate(10, seed=1, version=2)
