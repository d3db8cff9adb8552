"""Where candidates come from, each source beside a plain formulation of the same."""

import os
import shutil
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feature_generator.config import members, plug
from serving.engine import recall
from serving.engine.ask import Ask, Question
from serving.engine.live import Live
from serving.engine.vectors import Vectors

NUM, NOON = 120, 1_767_268_800_000  # as conftest has them


def ids(answer):
    return [item["item_id"] for item in answer["items"]]


def source(world, rows, kind, allowed=None, **config):
    from feature_generator.config import member

    made = member(recall.PACKAGE, kind).Config.model_validate({"type": kind, **config})
    return recall.build(made, world, rows, np.ones(len(rows), bool) if allowed is None else allowed, "")


def asked(world, rows, clicks=(), user="u", **more):
    now = more.pop("time", NOON)
    world.history.add([(user, key, now - 1000 * (place + 1), 1.0) for place, key in enumerate(clicks)])
    return Ask(Question("feed", user, time=now, **more), world, rows, 1e18)


def keys(rows, found):
    return rows.keys_of(found.rows)


def test_popular_is_ordered_by_a_column_and_by_what_is_clicked_now(world, rows):
    made = source(world, rows, "popular", by="sales", half_life_s=60)
    assert keys(rows, made.recall(asked(world, rows), 3)) == [1000, 1001, 1002]
    world.live.take([1050] * 500, [NOON] * 500, [1.0] * 500)
    made._popularity._looked = 0.0
    made.refresh()
    assert keys(rows, made.recall(asked(world, rows), 2)) == [1050, 1000]
    world.live.take([1000], [NOON + 600_000], [1.0])  # ten half-lives later
    made._popularity._looked = 0.0
    made.refresh()
    assert keys(rows, made.recall(asked(world, rows), 2)) == [1000, 1001]


def test_a_clock_that_is_ahead_makes_nothing_old(rows):
    live = Live(rows, now=lambda: NOON)
    popular = live.decayed(60.0)
    live.take([1050] * 3, [NOON] * 3, [1.0] * 3)
    live.take([1000], [1 << 53], [1.0])
    scores = popular.at(live.newest)
    assert live.newest == NOON + 60_000
    assert scores[rows.find([1000, 1050])].tolist() == [1.0, 1.5]


def test_popular_of_a_file_decays_and_follows_it(world, rows, tmp_path):
    path = tmp_path / "popular.parquet"

    def write(counts):
        table = pa.table(
            {
                "item_id": [c[0] for c in counts],
                "score": [c[1] for c in counts],
                "at": pa.array([c[2] for c in counts], pa.timestamp("ms")),
            }
        )
        pq.write_table(table, path)
        os.utime(path, ns=(time.time_ns(), time.time_ns()))

    day = 86_400_000
    write([(1003, 8.0, NOON - 2 * day), (1004, 3.0, NOON), (1005, 1.0, NOON)])
    made = source(world, rows, "popular", file={"path": str(path), "time": "at"}, half_life_s=86_400)
    assert keys(rows, made.recall(asked(world, rows), 3)) == [1004, 1003, 1005]  # 8 two days ago is worth 2
    write([(1007, 9.0, NOON)])
    made.refresh()
    assert keys(rows, made.recall(asked(world, rows), 1)) == [1007]


def test_popular_within_what_the_user_shares(world, rows):
    made = source(world, rows, "popular", by="sales", within="cate")
    found = made.recall(asked(world, rows, user="v", **{"request_id": "x"}), 5)
    assert len(found.rows) == 0
    found = made.recall(Ask(Question("feed", "v", user={"cate": "c2"}), world, rows, 1e18), 3)
    assert keys(rows, found) == [1002, 1008, 1014]


def test_item_to_item_sums_nearness_weighed_by_recency(world, rows, shop):
    made = source(world, rows, "item_to_item", path=str(shop / "near.parquet"), recency=0.5)
    found = made.recall(asked(world, rows, [1050, 1052]), 100)
    expected = {}
    for place, click in enumerate([1050, 1052]):
        for other in range(click - 3, click + 4):
            if other != click:
                expected[other] = expected.get(other, 0.0) + 0.5**place / (1 + abs(other - click))
    got = dict(zip(keys(rows, found), found.scores.tolist(), strict=True))
    assert got == pytest.approx(expected)
    assert list(got.values()) == sorted(got.values(), reverse=True)
    because = dict(zip(keys(rows, found), rows.keys_of(found.because), strict=True))
    assert because[1049] == 1050  # it adds 0.5, the other click 0.125
    assert because[1055] == 1052


def test_what_a_filter_keeps_out_is_not_recalled(world, rows, shop):
    allowed = rows.numbers("stock") > 0
    for kind, config in [
        ("item_to_item", {"path": str(shop / "near.parquet")}),
        ("popular", {"by": "sales"}),
        ("category", {"column": "cate", "by": "sales"}),
        ("recent", {"column": "born"}),
        ("cold_start", {}),
    ]:
        found = source(world, rows, kind, allowed, **config).recall(asked(world, rows, [1050, 1009]), 1000)
        assert len(found.rows), kind
        assert allowed[found.rows].all(), kind


def test_categories_get_shares_by_what_was_clicked(world, rows):
    made = source(world, rows, "category", column="cate", by="sales", recency=1.0, groups=2)
    found = made.recall(asked(world, rows, [1000, 1006, 1012, 1001]), 8)
    assert [found.names[g] for g in found.groups.tolist()].count("c0") == 6
    assert [k for k, g in zip(keys(rows, found), found.groups.tolist(), strict=True) if found.names[g] == "c1"] == [
        1001,
        1007,
    ]
    assert made.recall(asked(world, rows, user="nobody"), 8).rows.tolist() == []


def test_a_category_of_tags_gives_no_item_twice(world, rows):
    found = source(world, rows, "category", column="tags", by="sales").recall(asked(world, rows, [1000, 1001]), 60)
    assert len(set(found.rows.tolist())) == len(found.rows) > 10


def test_recent_knows_the_time_of_the_request(world, rows):
    made = source(world, rows, "recent", column="born", unit="ms", most_age_s=5 * 3600)
    assert keys(rows, made.recall(asked(world, rows, time=NOON), 100)) == [1119, 1118, 1117, 1116, 1115]
    assert keys(rows, made.recall(asked(world, rows, time=NOON - 7_200_000), 2)) == [1118, 1117]


def test_cold_items_are_drawn_from_all_that_were_shown_little(world, rows):
    world.live.shown[:100] = 500
    made = source(world, rows, "cold_start", below=100)
    met = set()
    for n in range(200):
        found = made.recall(asked(world, rows, request_id=f"r{n}"), 4)
        assert (found.rows >= 100).all()
        assert len(set(found.rows.tolist())) == len(found.rows) >= 3
        met |= set(found.rows.tolist())
    assert met == set(range(100, NUM))


@pytest.mark.slow
def test_vectors_find_what_comparing_all_finds(world, rows, trained, engine_of):
    engine = engine_of(
        [{"type": "vector", "model": "tower", "items": str(trained.items), "count": 20}],
        models=[{"name": "tower", "bundle": str(trained.tower)}],
    )
    listed = engine.recommend(Question("feed", 7, size=20))
    from serving import Retriever

    with Retriever.load(trained.tower, trained.items) as retriever:
        (expected,) = retriever.retrieve([{"user_id": 7, "clicked_items": None}], 20)
    assert ids(listed.answer()) == expected.items
    assert listed.degraded == ()


@pytest.mark.slow
def test_damaged_vectors_are_told_once_and_read_when_they_are_whole(trained, tmp_path, caplog):
    folder = tmp_path / "vectors"
    shutil.copytree(trained.items, folder)
    (part,) = folder.rglob("*.parquet")
    whole = part.read_bytes()
    part.write_bytes(whole[: len(whole) // 2])
    vectors = Vectors(str(folder))
    vectors.refresh()
    assert vectors.held is None
    assert caplog.text.count("vectors of items cannot be read") == 1
    part.write_bytes(whole)
    vectors.refresh()
    assert len(vectors.held.items.ids) == NUM


def test_a_file_of_ones_own_is_a_source(engine_of, tmp_path):
    path = tmp_path / "odd_ones.py"
    path.write_text(
        "from typing import Literal\nimport numpy as np\nfrom serving.engine.recall import Found, Recall, RecallConfig\n"
        "class Config(RecallConfig):\n    type: Literal['odd_ones'] = 'odd_ones'\n"
        "class OddOnes(Recall):\n    why = 'odd'\n    def recall(self, ask, count):\n"
        "        return Found(np.arange(1, len(self.rows), 2)[:count])\n"
    )
    plug(path)
    try:
        listed = engine_of([{"type": "odd_ones", "count": 10}]).recommend(Question("feed", 1))
        assert ids(listed.answer()) == list(range(1001, 1021, 2))
        assert listed.reasons[0] == "odd"
    finally:
        from feature_generator import plugins

        plugins.files.pop((recall.PACKAGE, "odd_ones"))
        members.cache_clear()
