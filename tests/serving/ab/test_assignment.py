"""Who is in which variant: even, independent between layers, stable, and alike for one unit and for columns."""

import collections
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from feature_generator.native import murmur64a
from serving.ab import Experiments
from serving.ab.buckets import BUCKETS, hashes, prefix, texts

MILLION = texts(range(1_000_000))


def two_layers(**keys):
    def layer(name, path):
        variants = [{"name": "a"}, {"name": "b", "parameters": {path: 1}}]
        return {"name": name, "experiments": [{"name": f"of_{name}", "variants": variants, **keys}]}

    return {"layers": [layer("ranking", "rank.model"), layer("recall", "recall.ann.count")]}


def test_the_buckets_of_a_million_ids_are_even():
    for name in ("ranking", "recall"):
        found = np.bincount(
            (hashes(prefix("", "layer", name), MILLION) % np.uint64(BUCKETS)).astype(int), minlength=BUCKETS
        )
        assert stats.chisquare(found).pvalue > 0.001


def test_layers_split_a_million_ids_independently():
    a, b = ((hashes(prefix("", "layer", n), MILLION) % np.uint64(100)).astype(int) for n in ("ranking", "recall"))
    assert stats.chi2_contingency(np.bincount(a * 100 + b, minlength=10_000).reshape(100, 100)).pvalue > 0.001


def test_variants_of_two_layers_and_of_a_domain_are_independent():
    config = {"domains": [{"name": "half", "share": 0.5, **two_layers(share=0.5)}]}
    table = Experiments.load(config).assign_many(MILLION.slice(0, 200_000))
    told = [table[name].combine_chunks().fill_null("-").dictionary_encode() for name in ("ranking", "recall")]
    codes = [one.indices.to_numpy() for one in told]
    pairs = np.bincount(codes[0] * 3 + codes[1], minlength=9)
    words = [one.dictionary.to_pylist() for one in told]
    counts = {(words[0][at // 3], words[1][at % 3]): int(count) for at, count in enumerate(pairs)}
    inside = {key: n for key, n in counts.items() if key != ("-", "-")}
    share = [0.0625 if "-" in key else 0.03125 for key in inside]  # half of the units, then half of them in each layer
    outside = counts["-", "-"]
    expected = np.array(share) * 2e5
    assert len(inside) == 8
    assert stats.chisquare([*inside.values(), outside], [*expected, 2e5 - expected.sum()]).pvalue > 0.001


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(max_size=40), max_size=30), st.text(max_size=9))
def test_hashes_of_columns_are_those_of_the_kernel(units, salt):
    encodable = [u for u in units if u.isprintable() or not any(0xD800 <= ord(c) < 0xE000 for c in u)]
    head = prefix(salt.encode("utf-8", "ignore").decode())
    assert hashes(head, texts(encodable)).tolist() == [murmur64a(head + u.encode()) for u in encodable]


def test_a_column_that_is_a_part_of_another_one_hashes_alike():
    column = texts(["a", "bb", "a" * 9, "c", "bb"])
    assert hashes(b"s", column.slice(1, 3)).tolist() == hashes(b"s", column)[1:4].tolist()


@pytest.mark.parametrize("grown", [0.3, 0.5, 1.0])
def test_growing_a_ramp_moves_nobody_who_was_in(grown):
    small = Experiments.load(two_layers(ramp=0.1)).assign_many(MILLION.slice(0, 30_000))
    large = Experiments.load(two_layers(ramp=grown)).assign_many(MILLION.slice(0, 30_000))
    for layer in ("ranking", "recall"):
        before, after = small[layer].to_pylist(), large[layer].to_pylist()
        assert sum(x is not None for x in before) == pytest.approx(3_000, rel=0.1)
        assert sum(x is not None for x in after) == pytest.approx(30_000 * grown, rel=0.05)
        assert all(y == x for x, y in zip(before, after, strict=True) if x is not None)


def test_growing_the_share_of_the_last_or_of_one_with_buckets_moves_nobody():
    def layer(*rooms):
        variants = [{"name": "a"}, {"name": "b"}]
        return {
            "layers": [
                {
                    "name": "l",
                    "experiments": [{"name": f"e{i}", "variants": variants, **r} for i, r in enumerate(rooms)],
                }
            ]
        }

    pairs = [
        (layer({"share": 0.2}, {"share": 0.1}), layer({"share": 0.2}, {"share": 0.8})),
        (
            layer({"buckets": [0, 999]}, {"buckets": [5000, 5999]}),
            layer({"buckets": [0, 4999]}, {"buckets": [5000, 9999]}),
        ),
    ]
    for small, large in pairs:
        before, after = (Experiments.load(c).assign_many(range(8_000))["l"].to_pylist() for c in (small, large))
        assert all(y == x for x, y in zip(before, after, strict=True) if x is not None)


def test_weights_ramp_and_shares_are_kept():
    variants = [{"name": "a", "weight": 1}, {"name": "b", "weight": 3}]
    experiments = [
        {"name": "x", "share": 0.4, "ramp": 0.5, "variants": variants},
        {"name": "y", "share": 0.6, "variants": [{"name": "z"}]},
    ]
    found = collections.Counter(
        Experiments.load({"layers": [{"name": "l", "experiments": experiments}]})
        .assign_many(MILLION.slice(0, 300_000))["l"]
        .to_pylist()
    )
    expected = {"x/a": 0.05, "x/b": 0.15, "y/z": 0.6, None: 0.2}
    for name, share in expected.items():  # a bucket more or less: the ramp and the weights are cut to whole ones
        assert found[name] / 3e5 == pytest.approx(share, abs=0.004)


def test_another_salt_splits_anew_and_an_experiment_keeps_its_split_in_another_room():
    def split(share, **keys):
        variants = [{"name": "a"}, {"name": "b"}]
        experiments = [{"name": "e", "share": share, "variants": variants, **keys}]
        return (
            Experiments.load({"layers": [{"name": "l", "experiments": experiments}]})
            .assign_many(range(20_000))["l"]
            .to_pylist()
        )

    first, other, smaller = split(1.0), split(1.0, salt="again"), split(0.3)
    assert sum(a == b for a, b in zip(first, other, strict=True)) == pytest.approx(10_000, rel=0.04)
    assert all(a == b for a, b in zip(first, smaller, strict=True) if b is not None)


def test_white_lists_conditions_scenes_and_times_decide():
    experiment = {
        "name": "e",
        "ramp": 0.0,
        "scene": ["feed", "shop"],
        "where": {"country": ["NO", 47], "vip": True},
        "when": "age >= 18 && hour < 12",
        "start": "2026-03-01",
        "end": "2026-04-01T00:00:00+00:00",
        "variants": [{"name": "a"}, {"name": "b", "white_list": ["u1", 7], "parameters": {"size": 3}}],
    }
    layers = {"layers": [{"name": "l", "experiments": [experiment]}]}
    listed, everybody = (
        Experiments.load(layers),
        Experiments.load({"layers": [{"name": "l", "experiments": [{**experiment, "ramp": 1.0}]}]}),
    )
    march = 1_772_400_000_000
    assert listed.assign("u1", scene="feed", time_ms=march).variants == {"l": "e/b"}
    assert listed.assign("7", scene="shop", time_ms=march).parameters == {"size": 3}
    assert listed.assign("u2", scene="feed", time_ms=march).variants == {}
    good = {"country": "47", "vip": True, "age": 18, "hour": 11.0}

    def taken(attributes=good, scene="feed", at=march):
        return bool(everybody.assign("u2", attributes, scene=scene, time_ms=at).variants)

    assert taken()
    assert taken({**good, "country": ["SE", "NO"]})
    for wrong in (
        {"country": "SE"},
        {"country": None},
        {"vip": False},
        {"age": 17},
        {"age": None},
        {"age": "x"},
        {"hour": 12},
    ):
        assert not taken({**good, **wrong}), wrong
    assert not taken({})
    assert not taken(scene="search")
    assert not taken(scene=None)
    assert not taken(at=1_772_323_199_999)  # a millisecond before March
    assert not taken(at=1_775_001_600_000)


NAMES = st.sampled_from(["a", "b", "c", "d"])


@st.composite
def files(draw):
    """Layers in domains; every layer has paths of its own."""

    def layer(number):
        experiments = []
        for i in range(draw(st.integers(1, 3))):
            variants = [
                {
                    "name": name,
                    "weight": draw(st.sampled_from([1, 2, 5])),
                    "parameters": {f"l{number}.{p}": draw(st.integers(0, 3)) for p in draw(st.sets(NAMES, max_size=2))},
                    "white_list": [f"w{number}.{i}.{name}"] if draw(st.booleans()) else [],
                }
                for name in sorted(draw(st.sets(NAMES, min_size=1, max_size=3)))
            ]
            one = {
                "name": f"e{number}_{i}",
                "share": 0.3,
                "ramp": draw(st.sampled_from([0.0, 0.5, 1.0])),
                "variants": variants,
            }
            if draw(st.booleans()):
                one["scene"] = draw(st.sampled_from(["feed", "shop"]))
            if draw(st.booleans()):
                one["where"] = {"country": ["NO"]}
            if draw(st.booleans()):
                one["when"] = "age > 20"
            one["state"] = draw(st.sampled_from(["running", "running", "stopped"]))
            experiments.append(one)
        return {"name": f"layer{number}", "experiments": experiments}

    count = draw(st.integers(1, 4))
    if draw(st.booleans()):
        return {"salt": draw(NAMES), "layers": [layer(n) for n in range(count)]}
    return {"domains": [{"name": f"d{n}", "share": 0.25, "layers": [layer(n)]} for n in range(count)]}


@settings(max_examples=25, deadline=None)
@given(files(), st.sampled_from([None, "feed", "shop"]), st.data())
def test_parameters_of_an_experiment_never_leak_to_others(file, scene, data):
    experiments = Experiments.load(file)
    known = experiments.config.experiments
    units = [f"u{i}" for i in range(40)] + [u for _, e in known.values() for v in e.variants for u in v.white_list]
    ages = data.draw(st.lists(st.sampled_from([None, 10, 30]), min_size=len(units), max_size=len(units)))
    countries = data.draw(st.lists(st.sampled_from([None, "NO", "SE"]), min_size=len(units), max_size=len(units)))
    columns = experiments.assign_many(units, {"age": ages, "country": countries}, scene=scene).to_pylist()
    for unit, age, country, row in zip(units, ages, countries, columns, strict=True):
        found = experiments.assign(unit, {"age": age, "country": country}, scene=scene)
        assert found.variants == {layer: name for layer, name in row.items() if name is not None}
        owed = {}
        for layer, name in found.variants.items():
            experiment, variant = name.split("/")
            where, config = known[experiment]
            chosen = next(v for v in config.variants if v.name == variant)
            assert where.name == layer
            assert config.state == "running"
            assert config.scene in (None, scene)
            if unit not in chosen.white_list:
                assert not config.where or country == "NO"
                assert not config.when or (age or 0) > 20
                assert config.ramp > 0
            owed |= chosen.parameters
        assert found.parameters == owed


def test_the_ramp_says_nothing_about_the_variant():
    """One unit at a time, as requests ask; columns are held against these elsewhere."""
    experiments = Experiments.load(two_layers(ramp=0.5))
    found = collections.Counter(experiments.assign(f"u{i}").variants.get("ranking") for i in range(4000))
    assert found["of_ranking/a"] == pytest.approx(1000, abs=120)
    assert found["of_ranking/b"] == pytest.approx(1000, abs=120)


def test_nobody_can_change_what_others_are_given():
    experiments = Experiments.load(two_layers())
    found = experiments.assign("u1")
    with pytest.raises(TypeError):
        found.parameters["rank.model"] = 2
    with pytest.raises(TypeError):
        found.variants["recall"] = "x/y"


def test_threads_share_it_while_experiments_stop_and_start():
    experiments = Experiments.load(two_layers())
    whole = {f"u{i}": experiments.assign(f"u{i}").variants for i in range(300)}
    seen, wrong = [], []

    def ask():
        for _ in range(30):
            for unit, all_of_them in whole.items():
                found = experiments.assign(unit).variants
                seen.append(len(found))
                wrong.extend(k for k, v in found.items() if all_of_them[k] != v)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(10):
        experiments.stop("of_recall", "me", "a test")
        experiments.start("of_recall", "me", "a test")
    for thread in threads:
        thread.join()
    assert not wrong
    assert set(seen) <= {1, 2}
