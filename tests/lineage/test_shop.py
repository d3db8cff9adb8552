"""The embedded project: every input of every model comes from columns, and a column that goes breaks who needs it."""

from pathlib import Path

import pyarrow as pa
import pytest

from easyrec.config import load_experiment
from easyrec.data.shop import SCHEMA
from easyrec.lineage.build import lineage, untraced
from easyrec.starter import models, starter
from easyrec.store.definitions import load_store
from feature_generator import DataError

ROOT = Path(__file__).parents[2]
CONFIGS = sorted(path for path in (ROOT / "configs" / "shop").glob("*.yaml") if path.name != "shop.yaml")
FEW = [path for path in CONFIGS if path.stem in ("din", "lr", "operators")]
PROFILE = {
    "name": "user_profile",
    "entity": "user",
    "source": {"type": "parquet", "path": "built/user_profile"},
    "transform": {
        "type": "sql",
        "query": "SELECT user_id, extract('year' FROM today()) - born AS age, gender, city, level FROM people WHERE active",
        "inputs": {"people": {"type": "parquet", "path": "warehouse/people"}},
    },
    "fields": [{"name": name, "type": "int64"} for name in ("age", "gender", "city", "level")],
}
ITEMS = {
    "name": "item_profile",
    "entity": "item",
    "source": {"type": "parquet", "path": "warehouse/items/*.parquet"},
    "fields": [{"name": name, "type": "int64"} for name in ("cate", "brand", "price")],
}


def store(**more):
    entities = [{"name": "user", "join_id": "user_id"}, {"name": "item", "join_id": "item_id"}]
    model = {"name": "ranking", "features": [{"view": "user_profile"}, {"view": "item_profile"}]}
    config = {"project": "shop", "online": {"type": "memory"}, "entities": entities, "views": [PROFILE, ITEMS]}
    return load_store({**config, "models": [model], **more})


def runs(generator, rows):
    try:
        generator.transform(rows, bad_rows="default")
    except DataError:
        return False
    return True


def check_every_column(experiments):
    """Against the generator itself: whether it runs on rows without the column."""
    graph = lineage(None, experiments)
    assert untraced(graph) == []
    assert len(graph.of_kind("model")) == len(experiments)
    columns = {node.name for node in graph.of_kind("column")}
    assert columns <= set(SCHEMA.names)
    rows = {field.name: pa.nulls(1, field.type) for field in SCHEMA}
    for column in sorted(columns):
        left = pa.record_batch({name: values for name, values in rows.items() if name != column})
        broken = [experiment.name for experiment in experiments if not runs(experiment.generator, left)]
        found = graph.impact([f"column:shop.{column}"])
        assert sorted(found.models) == sorted(broken), column
        labelled = {e.name for e in experiments if column in e.data.labels}
        assert set(found.untrained) >= labelled - set(broken), column


def test_inputs_of_the_shop_come_from_columns_and_break_with_them():
    check_every_column([load_experiment(path) for path in FEW])


@pytest.mark.slow
def test_inputs_of_all_models_of_the_shop_come_from_columns_and_break_with_them():
    check_every_column([load_experiment(path) for path in CONFIGS])


@pytest.mark.slow
def test_inputs_of_first_configs_come_from_columns(tmp_path):
    made = []
    for name in models():
        path = tmp_path / f"{name}.yaml"
        path.write_text(starter(name))
        made.append(load_experiment(path, blanks=True))
    graph = lineage(None, made)
    assert len(graph.of_kind("model")) == len(made) > 50
    assert untraced(graph) == []


def test_views_lie_between_columns_and_features():
    pytest.importorskip("sqlglot", reason="needs the extra 'lineage'")
    graph = lineage(store(), FEW)
    assert untraced(graph) == []
    found = graph.impact([graph.find("people.born").id])
    assert found.models == ["shop_din", "shop_lr", "shop_operators"]
    assert "field:user_profile.age" in found.broken
    assert "field:user_profile.city" not in found.broken
    above = {node.id for node in graph.upstream(graph.find("feature:shop_din.age_x_cate").id)}
    assert above >= {"column:warehouse/people.born", "column:warehouse/items.cate", "field:user_profile.age"}
    # What decides on rows, and the key, have a say in all fields.
    for column in ("people.active", "people.user_id"):
        assert "field:user_profile.city" in graph.impact([graph.find(column).id]).broken
    edge = next(e for e in graph.into("field:user_profile.age") if e.source.endswith("born"))
    assert (edge.how, edge.direct) == ("TRANSFORMATION", True)
    assert not any(node.group == "shop" and node.name in ("age", "brand") for node in graph.of_kind("column"))


def test_a_model_reads_the_features_that_are_called_like_it():
    pytest.importorskip("sqlglot", reason="needs the extra 'lineage'")
    two = [
        {"name": "shop_lr", "features": [{"view": "user_profile", "fields": ["age"]}]},
        {"name": "other", "features": [{"view": "user_profile", "fields": ["gender"], "alias": {"gender": "city"}}]},
    ]
    graph = lineage(store(models=two), [FEW[1]])
    assert {edge.source for edge in graph.into("feature:shop_lr.age")} == {"field:user_profile.age"}
    graph = lineage(store(models=two), [FEW[1]], features="other")
    assert {edge.source for edge in graph.into("feature:shop_lr.city")} == {"field:user_profile.gender"}
    assert {edge.source for edge in graph.into("feature:shop_lr.age")} == {"column:shop.age"}


def test_statistics_and_ratios_of_other_views_are_followed():
    """Each field against the columns that a person would name."""
    clicks = {
        "name": "clicks",
        "entity": "user",
        "event_time": "ts",
        "source": {"type": "parquet", "path": "warehouse/clicks"},
        "fields": [{"name": "price", "type": "double"}, {"name": "kind", "type": "string"}],
    }
    spent = {
        "name": "spent",
        "entity": "user",
        "event_time": "day",
        "source": {"type": "parquet", "path": "built/spent"},
        "transform": {
            "type": "windows",
            "input": "clicks",
            "features": [
                {"type": "sum", "name": "sum", "of": "price", "over": ["1d", "7d"], "where": {"kind": "buy"}},
                {"type": "count", "name": "count", "over": "7d"},
                {"type": "ratio", "name": "mean", "of": "sum_7d", "by": "count"},
            ],
        },
        "fields": [{"name": name, "type": "double"} for name in ("sum_1d", "count", "mean")],
    }
    graph = lineage(store(views=[PROFILE, ITEMS, clicks, spent]))
    key, time = "column:warehouse/clicks.user_id", "column:warehouse/clicks.ts"
    found = {
        name: {(edge.source, edge.how) for edge in graph.into(f"field:spent.{name}")}
        for name in ("sum_1d", "count", "mean")
    }
    say = {(key, "JOIN"), (time, "FILTER")}
    values = {("field:clicks.price", "AGGREGATION"), ("field:clicks.kind", "FILTER")}
    assert found == {"sum_1d": values | say, "count": say, "mean": values | say}
    assert "field:spent.mean" in graph.impact([graph.find("warehouse/clicks.kind").id]).broken


def test_sequences_and_counts_of_events_are_followed():
    clicks = {
        "name": "clicks",
        "type": "sequence",
        "entity": "user",
        "event_time": "at",
        "source": {"type": "parquet", "path": "warehouse/clicks"},
        "fields": [{"name": "item", "type": "int64"}, {"name": "cate", "type": "string"}],
        "events": {"item": "item", "sequences": [{"name": "click_50", "length": 50}]},
    }
    counted = {
        "name": "counted",
        "type": "stream",
        "entity": "user",
        "stream": {
            "source": {"type": "kafka", "brokers": "127.0.0.1:1", "topic": "shop-clicks"},
            "columns": {"who": "int64", "at": "timestamp", "price": "double", "kind": "string"},
            "event_time": "at",
            "key": "who",
            "where": {"kind": "buy"},
            "aggregates": [
                {"name": "spent", "function": "sum", "column": "price"},
                {"name": "count", "function": "count"},
            ],
        },
    }
    graph = lineage(store(views=[PROFILE, ITEMS, clicks, counted]))

    def sources(field):
        return {(edge.source.removeprefix("column:"), edge.how) for edge in graph.into(f"field:{field}")}

    say = {("warehouse/clicks.user_id", "JOIN"), ("warehouse/clicks.at", "FILTER")}
    assert sources("clicks.click_50__cate") == {("warehouse/clicks.cate", "IDENTITY"), *say}
    assert sources("clicks.click_50__ts") == {
        ("warehouse/clicks.at", "TRANSFORMATION"),
        ("warehouse/clicks.user_id", "JOIN"),
    }
    say = {("shop-clicks.who", "JOIN"), ("shop-clicks.at", "FILTER"), ("shop-clicks.kind", "FILTER")}
    assert sources("counted.spent") == {("shop-clicks.price", "AGGREGATION"), *say}
    assert sources("counted.count") == say
