"""Columns of queries: what each reads, by value or otherwise, against what a person reads in the query."""

import pytest

from easyrec.errors import ConfigError

pytest.importorskip("sqlglot", reason="needs the extra 'lineage'")

from easyrec.lineage.query import reads_of


def told(sql, *wanted, **columns):
    return {
        name: {(read.table, read.column): read.how for read in reads}
        for name, reads in reads_of(sql, columns, wanted).items()
    }


@pytest.mark.parametrize(
    ("value", "how"),
    [("age", "IDENTITY"), ("age + 1", "TRANSFORMATION"), ("max(age)", "AGGREGATION"), ("max(age) + 1", "AGGREGATION")],
)
def test_a_value_goes_on_as_it_is_or_changed(value, how):
    assert told(f"SELECT {value} AS a FROM users", "a") == {"a": {("users", "age"): how}}


def test_what_decides_on_rows_has_a_say_in_every_column():
    sql = "SELECT u.a, b FROM users u JOIN items i ON u.k = i.k WHERE u.day > 1 GROUP BY u.a, b HAVING max(i.n) > 2"
    found = told(sql, "a", "b", users=["a", "k", "day"], items=["k", "n", "b"])
    say = {("users", "k"): "JOIN", ("items", "k"): "JOIN", ("users", "day"): "FILTER", ("items", "n"): "FILTER"}
    assert found["a"] == {**say, ("items", "b"): "GROUP_BY", ("users", "a"): "IDENTITY"}
    assert found["b"] == {**say, ("users", "a"): "GROUP_BY", ("items", "b"): "IDENTITY"}


def test_conditions_and_windows_have_a_say_and_no_value():
    sql = (
        "SELECT avg(CASE WHEN kind = 'x' THEN price END) AS a, sum(price) FILTER (WHERE ok) AS s, "
        "row_number() OVER (PARTITION BY k ORDER BY ts) AS r FROM orders"
    )
    assert told(sql, "a", "s", "r") == {
        "a": {("orders", "kind"): "CONDITIONAL", ("orders", "price"): "AGGREGATION"},
        "s": {("orders", "ok"): "FILTER", ("orders", "price"): "AGGREGATION"},
        "r": {("orders", "k"): "WINDOW", ("orders", "ts"): "WINDOW"},
    }


def test_columns_are_followed_through_parts_stars_and_unions():
    sql = """
        WITH latest AS (SELECT *, row_number() OVER (PARTITION BY user_id ORDER BY ts) AS r FROM events)
        SELECT user_id, lower(item) AS item FROM latest WHERE r = 1
        UNION ALL SELECT id, name FROM others
    """
    found = told(sql, "user_id", "item")
    assert found["item"] == {
        ("events", "item"): "TRANSFORMATION",
        ("events", "ts"): "FILTER",
        ("events", "user_id"): "FILTER",
        ("others", "name"): "IDENTITY",
    }
    assert found["user_id"][("events", "user_id")] == found["user_id"][("others", "id")] == "IDENTITY"


def test_a_subquery_reads_its_own_tables_and_those_around():
    sql = "SELECT user_id, (SELECT max(p) FROM orders o WHERE o.uid = u.user_id) AS m FROM users u"
    assert told(sql, "m")["m"] == {
        ("orders", "p"): "AGGREGATION",
        ("orders", "uid"): "FILTER",
        ("users", "user_id"): "FILTER",
    }


def test_whose_a_column_is_follows_from_what_tables_have():
    sql = "SELECT Age, price FROM users, items"
    assert told(sql, "age", "price", users=["age"], items=["price"]) == {
        "age": {("users", "age"): "IDENTITY"},
        "price": {("items", "price"): "IDENTITY"},
    }


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT a FROM", "the query cannot be parsed"),
        ("SELECT a FROM t", "gives no column 'b'; it gives: a"),
        ("DROP TABLE t", "must be one SELECT"),
    ],
)
def test_queries_that_tell_nothing_are_told(sql, message):
    with pytest.raises(ConfigError, match=message):
        reads_of(sql, {}, ["b"])
