"""What must not be in a list."""

import os
import time

import numpy as np
import pytest

from easyrec.errors import DataError
from serving.engine import filters
from serving.engine.ask import Ask, Question
from serving.engine.filters import Filter
from serving.engine.filters.blocked import Config as Blocked
from serving.engine.filters.rule import Config as Rule
from serving.engine.filters.seen import Config as Seen


def kept(one, rows, ask=None):
    everywhere = one.everywhere()
    mask = np.ones(len(rows), bool) if everywhere is None else everywhere
    own = one.keeps(ask, np.arange(len(rows))) if ask is not None else None
    return mask if own is None else mask & own


def asked(world, rows, **more):
    return Ask(Question("feed", "u", **more), world, rows, 1e18)


def test_seen_leaves_out_what_was_shown_and_clicked(world, rows):
    world.history.show("u", [1000, 1001], 1_000_000)
    world.history.add([("u", 1002, 5_000_000, 1.0)])
    ask = asked(world, rows, time=5_000_000)
    assert np.flatnonzero(~kept(filters.build(Seen(), world, rows), rows, ask)).tolist() == [0, 1, 2]
    late = filters.build(Seen(within_s=100), world, rows)
    assert np.flatnonzero(~kept(late, rows, ask)).tolist() == [2]
    shown = filters.build(Seen(what=["shown"]), world, rows)
    assert np.flatnonzero(~kept(shown, rows, ask)).tolist() == [0, 1]
    assert kept(shown, rows, Ask(Question("feed", "other"), world, rows, 1e18)).all()


def test_blocked_follows_its_file(world, rows, tmp_path):
    path = tmp_path / "blocked.txt"
    one = filters.build(Blocked(path=str(path)), world, rows)
    assert kept(one, rows).all()
    path.write_text("# a recall\n1003\n 1005  # broken\n\n99999\n")
    one.refresh()
    assert one.version == 1
    assert np.flatnonzero(~kept(one, rows)).tolist() == [3, 5]
    path.write_text("")
    os.utime(path, ns=(time.time_ns() + 10**9,) * 2)
    one.refresh()
    assert kept(one, rows).all()
    one.refresh()
    assert one.version == 2


def test_what_was_blocked_stays_so_where_the_file_cannot_be_read(world, rows, tmp_path):
    path = tmp_path / "blocked.txt"
    path.write_text("1003\n")
    one = filters.build(Blocked(path=str(path)), world, rows)
    path.write_bytes(b"\xff\xfe1003\n")
    one.refresh()
    assert np.flatnonzero(~kept(one, rows)).tolist() == [3]
    with pytest.raises(DataError, match="cannot be read"):  # who begins with it lets nothing through
        Filter.__init__(type(one).__new__(type(one)), one.config, world, rows)
    path.write_text("1003\n1004\n")
    one.refresh()
    assert np.flatnonzero(~kept(one, rows)).tolist() == [3, 4]


def test_a_rule_over_the_catalogue_is_one_mask(world, rows):
    one = filters.build(
        Rule(keep="stock > 0 && price < 10", only={"cate": ["c1", "c2"]}, without={"tags": ["t0"]}), world, rows
    )
    table = rows.table.to_pylist()
    expected = [
        r["stock"] > 0 and r["price"] < 10 and r["cate"] in ("c1", "c2") and "t0" not in r["tags"] for r in table
    ]
    assert kept(one, rows).tolist() == expected
    assert one.keeps(asked(world, rows), np.arange(3)) is None


def test_a_rule_over_the_user_is_asked_with_each_request(world, rows):
    one = filters.build(Rule(keep="price < 5 || user.age >= 18"), world, rows)
    cheap = rows.numbers("price") < 5
    assert kept(one, rows, asked(world, rows, user={"age": 30})).all()
    for user in ({"age": 7}, {}, {"age": "?"}):  # who cannot be told to be of age is not
        assert kept(one, rows, asked(world, rows, user=user)).tolist() == cheap.tolist()


def test_a_rule_counts_when_it_should(world, rows):
    one = filters.build(Rule(only={"cate": ["c0"]}, when="context.night == 1"), world, rows)
    assert kept(one, rows, asked(world, rows, context={"night": 0})).all()
    assert kept(one, rows, asked(world, rows, context={"night": 1})).sum() == 20


@pytest.mark.parametrize(
    ("config", "told"),
    [
        (Rule(keep="stok > 0"), "did you mean 'stock'"),
        (Rule(keep="cate > 0"), "no number"),
        (Rule(only={"colour": [1]}), "colour"),
    ],
)
def test_a_rule_about_what_there_is_not_is_told(world, rows, config, told):
    with pytest.raises(DataError, match=told):
        filters.build(config, world, rows)
