"""`fit` end to end: config, rows, what is learned, and the generator that takes it in."""

import hashlib
import itertools
import json
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import yaml

from feature_generator import ConfigError, DataError, FeatureGenerator
from feature_generator.discretizer import read_vocabulary
from feature_generator.errors import OutputError
from feature_generator.features.bm25 import read_counts
from feature_generator.fitting.fit import Fitting, fit
from feature_generator.fitting.learned import Learned
from feature_generator.fitting.outcome import Outcome

WORDS = {"type": "id", "name": "w", "expression": "item:w"}
NUMBER = {"type": "raw", "name": "x", "expression": "item:x"}


@pytest.fixture
def write(tmp_path):
    """A config's file of some features."""

    def written(*features, name="c.yaml"):
        path = tmp_path / name
        path.write_text(yaml.safe_dump({"features": list(features)}), encoding="utf-8")
        return path

    return written


def batches(columns, rows=3):
    whole = pa.table(columns)
    return [batch for batch in whole.to_batches(max_chunksize=rows) if batch.num_rows]


def learn(path, columns, **options):
    """Fit, write beside the config, and load it."""
    fitting = fit(path, batches(columns), **options)
    fitting.learned().write(path.with_suffix(".fitted"))
    return FeatureGenerator.load(path)


def ids(table, name):
    column = table[name]
    ends = np.arange(len(column.values) + 1) if column.offsets is None else column.offsets
    return [column.values[a:b].tolist() for a, b in itertools.pairwise(ends)]


# ------------------------------------------------------------------------------------------- vocabularies


def test_a_vocabulary_has_the_ids_of_a_list_in_the_order_of_counts(write):
    rows = {"w": ["b", "a\x1db", "c", None, "", "a", "b", "d", "b", "c", "zz"]}
    path = write(WORDS | {"fit": {"vocabulary": {"min_count": 2}}, "default_value": "none"})
    generator = learn(path, rows)
    listed = FeatureGenerator.load({"features": [WORDS | {"vocab_list": ["b", "a", "c"], "default_value": "none"}]})
    probe = {"w": ["a", "b", "c", "d", "none", None, "<OOV>", "a\x1dzz"]}
    assert ids(generator.transform(probe), "w") == ids(listed.transform(probe), "w")
    assert generator.outputs["w"].num_embeddings == listed.outputs["w"].num_embeddings == 5
    assert all(config.fit is None for config in generator.features)


def test_top_k_breaks_ties_by_word_and_the_default_may_be_a_word(write):
    path = write(WORDS | {"fit": {"vocabulary": {"top_k": 2}}, "default_value": "b"})
    generator = learn(path, {"w": ["c", "b", "a", "c"]})
    assert ids(generator.transform({"w": ["c", "a", "b", None]}), "w") == [[2], [3], [0], [0]]
    path = write(WORDS | {"fit": {"vocabulary": {"top_k": 2}}, "default_value": "a"}, name="d.yaml")
    assert ids(learn(path, {"w": ["c", "b", "a", "c"]}).transform({"w": ["b", None]}), "w") == [[1], [3]]


def test_words_count_as_the_operator_makes_them(write):
    crossed = {"type": "combo", "name": "ab", "expression": ["item:a", "item:b"], "fit": {"vocabulary": {}}}
    looked = {"type": "lookup", "name": "l", "map": "user:m", "key": "item:a", "fit": {"vocabulary": {}}}
    sequence = {
        "type": "sequence",
        "name": "s",
        "sequence_length": 2,
        "features": [{"type": "id", "name": "i", "expression": "item:i", "fit": {"vocabulary": {}}}],
    }
    path = write(crossed, looked, sequence)
    rows = {
        "a": ["x", "y\x1dx", None],
        "b": ["1", "1", "2"],
        "m": ["x:7", "y:8\x1dz:9", ""],
        "s__i": ["p;q\x1dz;r", ";p", ""],
    }
    generator = learn(path, rows)
    learned = json.loads((path.parent / "c.fitted" / "fitted.json").read_text())["features"]
    words = {
        name: set(read_vocabulary(path.parent / "c.fitted" / one["files"]["vocab_file"]["name"]))
        for name, one in learned.items()
    }
    assert words["ab"] == {"x_1", "y_1", "<OOV>"}
    assert words["l"] == {"7", "8", "<OOV>", "0"}
    assert words["s__i"] == {"q", "r", "p", "<OOV>", "0"}  # cut to the newest two, the first value of each
    assert ids(generator.transform(rows), "ab") == [[2], [3, 2], []]
    told = learned["s__i"]["told"]
    assert (told["elements"], told["missing"], told["coverage"]) == (4, 0.25, 1.0)


def test_words_that_a_file_could_mistake_keep_their_ids(write):
    words = ["\ufefffirst", " blank ", "5", "a 7", "a\t8", "\r", "é", "\u2028", "x\r"]
    rows = {"w": [[word] for i, word in enumerate(words) for _ in range(len(words) - i)] + [["two\nlines"]] * 99}
    path = write(WORDS | {"fit": {"vocabulary": {}}})
    fitting = fit(path, batches({"w": pa.array(rows["w"])}))
    learned = fitting.learned()
    learned.write(path.with_suffix(".fitted"))
    table = FeatureGenerator.load(path).transform({"w": pa.array([[word] for word in [*words, "two\nlines"]])})
    assert ids(table, "w") == [[2 + i] for i in range(len(words))] + [[1]]
    assert learned.outcomes["w"].told["note"] == "left out 1 words with line breaks or bytes that are no text"


def test_words_on_disk_are_those_in_memory(write):
    rng = np.random.default_rng(0)
    rows = {"w": pa.array([f"word {i}" for i in rng.zipf(1.2, 60_000) % 40_000])}
    path = write(WORDS | {"fit": {"vocabulary": {"min_count": 2}}})
    small, large = (fit(path, batches(rows, 5000), memory_mb=mb) for mb in (0.001, 1024))
    assert small.gatherers["w"].counts.spilled
    assert not large.gatherers["w"].counts.spilled
    assert small.learned().outcomes == large.learned().outcomes
    ranked = sorted(Counter(rows["w"].to_pylist()).items(), key=lambda pair: (-pair[1], pair[0]))
    lines = [f"{word}\t{number}" for number, (word, n) in enumerate(ranked, 2) if n >= 2]
    assert large.learned().outcomes["w"].files["vocab_file"].decode().splitlines() == ["<OOV>\t1", *lines]


def test_bytes_that_are_no_text_are_no_words(write):
    path = write({**WORDS, "fit": {"vocabulary": {}}})
    rows = {"w": pa.array([b"\xff\xfe", b"a", b"a", "\u00e9".encode()], pa.binary())}
    generator = learn(path, rows)
    assert ids(generator.transform(rows), "w") == [[1], [2], [2], [3]]


# ------------------------------------------------------------------------------------------------ numbers


@pytest.mark.parametrize(
    ("method", "expected"),
    [("quantile", [3.0, 5.0, 90.0]), ("uniform", [25.75, 50.5, 75.25]), ("tree", [4.0, 90.0])],
)
def test_boundaries_are_those_of_the_method(write, method, expected):
    path = write(NUMBER | {"default_value": "7", "fit": {"boundaries": {"method": method, "buckets": 4}}})
    if method == "tree":
        path = write(NUMBER | {"fit": {"boundaries": {"method": method, "buckets": 3, "min_rows": 2}}})
    rows = {
        "x": pa.array([1, 2, 3, 4, 5, 6, 90, 100, None], pa.float64()),  # neither the default nor null counts
        "y": pa.array([0, 0, 0, 5, 5, 5, 9, 9, 0], pa.int64()),
    }
    generator = learn(path, rows, label="y")
    assert generator.features[0].boundaries == expected
    buckets = ids(generator.transform({"x": rows["x"]}), "x")[:-1]
    edges = np.array(expected)
    assert buckets == [[int((edges <= x).sum())] for x in rows["x"].to_pylist()[:-1]]


@pytest.mark.parametrize("method", ["zscore", "minmax"])
def test_normalizers_are_those_of_numpy(write, method):
    rng = np.random.default_rng(0)
    numbers = rng.lognormal(size=(500, 2)) * 1e3
    path = write(NUMBER | {"value_dim": 2, "default_value": "-5", "fit": {"normalizer": method}})
    rows = {"x": pa.array([*numbers.tolist(), [1.0], None])}  # a vector of the wrong length does not count
    generator = learn(path, rows)
    made = generator.transform({"x": pa.array(numbers.tolist())})["x"].values
    expected = (numbers - numbers.mean()) / numbers.std()
    if method == "minmax":
        expected = (numbers - numbers.min()) / (numbers.max() - numbers.min())
    np.testing.assert_allclose(made, expected, rtol=1e-5, atol=1e-6)


def test_boundaries_lie_behind_the_normalizer(write):
    numbers = np.random.default_rng(0).lognormal(size=999).round(1)
    fits = {
        "plain": {"fit": {"boundaries": {"buckets": 10}}},
        "both": {"fit": {"boundaries": {"buckets": 10}, "normalizer": "zscore"}},
        "log": {"fit": {"boundaries": {"buckets": 10}}, "normalizer": "method=log10,threshold=0.5,default=-9"},
        "formula": {"fit": {"boundaries": {"buckets": 10}}, "normalizer": "method=expression,expr=log(x - 0.45)"},
    }
    path = write(*(NUMBER | {"name": name} | keys for name, keys in fits.items()))
    table = learn(path, {"x": numbers}).transform({"x": numbers})
    np.testing.assert_array_equal(table["plain"].values, table["both"].values)
    logged = np.where(numbers > 0.5, np.log10(np.where(numbers > 0.5, numbers, 1)), -9)
    np.testing.assert_array_equal(table["log"].values, buckets_of(logged))
    known = numbers > 0.45  # of the others the formula makes no number
    np.testing.assert_array_equal(table["formula"].values[known], buckets_of(np.log(numbers[known] - 0.45)))


def buckets_of(numbers, buckets=10):
    """The bucket of each: how many of the edges are not above it."""
    ordered = np.sort(numbers)
    below = np.searchsorted(ordered, ordered)
    edges = {ordered[below >= len(ordered) * j / buckets][0] for j in range(1, buckets)}
    return np.array([sum(edge <= number for edge in edges) for number in numbers])


def test_values_that_are_all_the_same_have_one_edge_and_become_0(write):
    path = write(
        NUMBER | {"fit": {"boundaries": {"buckets": 5}}},
        NUMBER | {"name": "z", "fit": {"normalizer": "zscore"}},
        NUMBER | {"name": "m", "fit": {"normalizer": "minmax"}},
    )
    generator = learn(path, {"x": [0.1] * 7})
    table = generator.transform({"x": [0.1, 0.0, 0.2]})
    assert table["x"].values.tolist() == [1, 0, 1]
    assert [table[name].values[0, 0] for name in "zm"] == [0.0, 0.0]


def test_edges_that_are_one_in_float32_are_one(write):
    path = write(NUMBER | {"fit": {"boundaries": {"buckets": 50}}})
    generator = learn(path, {"x": 1 + np.arange(100) * 1e-10})
    assert len(generator.features[0].boundaries) == 1


def test_a_tree_learns_from_rows_with_a_label_alone(write):
    path = write(NUMBER | {"fit": {"boundaries": {"method": "tree", "buckets": 2, "min_rows": 1}}})
    rows = {"x": [1.0, 2.0, 3.0, 4.0, 5.0], "y": pa.array([0, None, 0, 1, None], pa.int8())}
    assert learn(path, rows, label="y").features[0].boundaries == [4.0]
    with pytest.raises(DataError, match="no row with a value has a label"):
        learn(path, {"x": [1.0], "y": pa.array([None], pa.int8())}, label="y")
    with pytest.raises(DataError, match="a label must be a number"):
        fit(path, batches({"x": [1.0], "y": ["click"]}), label="y")
    with pytest.raises(DataError, match=r"the label is missing; did you mean 'click'\?"):
        fit(path, batches({"x": [1.0], "click": [1]}), label="clicks")


# --------------------------------------------------------------------------------------------------- bm25


def test_bm25_counts_titles_and_their_words(write):
    match = {"type": "bm25", "name": "m", "query": "user:q", "title": "item:t", "separator": " "}
    path = write(match | {"fit": {}})
    titles = ["red dress", "red red shoe", None, "blue", "red", ""]
    generator = learn(path, {"q": ["x"] * 6, "t": titles})
    config = generator.features[0]
    assert (config.doc_count, config.avg_length) == (4, 7 / 4)
    assert read_counts(Path(config.doc_freq_file)) == {"red": 3, "blue": 1, "dress": 1, "shoe": 1}
    score = generator.transform({"q": ["dress"], "t": ["red dress"]})["m"].values[0, 0]
    idf = math.log(1 + (4 - 1 + 0.5) / 1.5)
    assert score == pytest.approx(idf * 2.2 / (1 + 1.2 * (0.25 + 0.75 * 2 / 1.75)))


@pytest.mark.parametrize("title", ["item:t", "user:t"])
def test_bm25_counts_titles_in_sequences_and_beside_them(write, title):
    match = {"type": "bm25", "name": "m", "query": "user:q", "title": title, "separator": " ", "fit": {}}
    inside = title == "item:t"
    grouped = {"type": "sequence", "name": "s", "features": [{"type": "id", "name": "i", "hash_bucket_size": 9}, match]}
    grouped["features"][0]["expression"] = "item:i"
    if not inside:
        match["sequence_fields"] = ["q"]
    simple = match | {"name": "n", "sequence_length": 5, "sequence_fields": ["t" if inside else "q"]}
    column = ["a b;a", "c", None]
    rows = {"s__i": ["1;2", "1", ""], "t": column, "q": ["a;b", "c", "d"] if not inside else ["a", "b", "c"]}
    rows |= {"s__t": column} if inside else {"s__q": ["a;b", "c", ""]}
    path = write(grouped, simple)
    learned = fit(path, batches(rows)).learned().outcomes
    for name in ("s__m", "n"):
        counts = dict(line.split("\t") for line in learned[name].files["doc_freq_file"].decode().splitlines())
        assert learned[name].keys["doc_count"] == (3 if inside else 2)
        assert counts == ({"a": "2", "b": "1", "c": "1"} if inside else {"a": "1", "b;a": "1", "c": "1"})


# ------------------------------------------------------------------------------------------ shards, state


def everything(write):
    return write(
        WORDS | {"fit": {"vocabulary": {"top_k": 50}}},
        NUMBER | {"fit": {"boundaries": {"buckets": 7}, "normalizer": "zscore"}},
        NUMBER | {"name": "t", "fit": {"boundaries": {"method": "tree", "buckets": 5, "min_rows": 3}}},
        {"type": "bm25", "name": "m", "query": "item:w", "title": "item:w", "fit": {"doc_freq": {"min_count": 2}}},
    )


def some_rows(n=2000):
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=n).round(2)
    words = [None if i % 9 == 0 else f"é{i}\x1d{i % 7}" for i in rng.integers(0, 90, n)]
    return {"w": words, "x": numbers, "y": (rng.random(n) < 1 / (1 + np.exp(-numbers))).astype(int)}


def assert_same(one, other):
    assert one.rows == other.rows
    for name, made in one.outcomes.items():
        its = other.outcomes[name]
        assert (made.files, made.told) == (its.files, its.told)
        for key, value in made.keys.items():
            if key == "normalizer":
                parts = [[float(p.partition("=")[2]) for p in text.split(",")[1:]] for text in (value, its.keys[key])]
                assert parts[0] == pytest.approx(parts[1], rel=1e-12)
            else:
                assert its.keys[key] == pytest.approx(value, rel=1e-6)


def test_merged_shards_learn_what_the_whole_does(write, tmp_path):
    path, rows = everything(write), batches(some_rows(), 150)
    whole = fit(path, rows, label="y").learned()
    shards = [fit(path, rows[i::3], label="y", memory_mb=0.001) for i in range(3)]
    for i, one in enumerate(shards):
        one.save(tmp_path / f"shard{i}")
    loaded = Fitting(path, "y")
    for i in (2, 0, 1):
        loaded.add_saved(tmp_path / f"shard{i}")
    assert_same(loaded.learned(), whole)
    merged = Fitting(path, "y")
    for one in shards:
        merged.merge(one)
    assert_same(merged.learned(), whole)
    assert loaded.rows == 2000


def test_an_empty_shard_adds_nothing(write, tmp_path):
    path, rows = everything(write), batches(some_rows(), 150)
    fitting = fit(path, rows, label="y")
    Fitting(path, "y").save(tmp_path / "empty")
    fitting.add_saved(tmp_path / "empty")
    assert_same(fitting.learned(), fit(path, rows, label="y").learned())


def test_a_state_of_other_settings_or_a_damaged_one_is_refused(write, tmp_path):
    path = everything(write)
    fit(path, batches(some_rows()), label="y").save(tmp_path / "s")
    with pytest.raises(OutputError, match="is there already"):
        Fitting(path, "y").save(tmp_path / "s")
    other = write(WORDS | {"fit": {"vocabulary": {"top_k": 9}}}, name="other.yaml")
    with pytest.raises(ConfigError, match=r"(?s)cannot be merged.*label: \"y\" in .* unset here"):
        Fitting(other).add_saved(tmp_path / "s")
    one = write(WORDS | {"fit": {"vocabulary": {"top_k": 8}}}, name="one.yaml")
    with pytest.raises(ConfigError, match="top_k: 8 in the other one, 9 here"):
        Fitting(other).merge(Fitting(one))
    with pytest.raises(ConfigError, match="holds no state"):
        Fitting(path, "y").add_saved(tmp_path / "none")
    for name in ("0.words", "1.npz"):
        content = (tmp_path / "s" / name).read_bytes()
        for broken in (content[: len(content) // 2], b"\x80\x04K\x01."):
            (tmp_path / "s" / name).write_bytes(broken)
            with pytest.raises(ConfigError, match="is damaged"):
                Fitting(path, "y").add_saved(tmp_path / "s")
        (tmp_path / "s" / name).write_bytes(content)
    np.savez(tmp_path / "s" / "1.npz", values0=np.array([print], object))
    state = json.loads((tmp_path / "s" / "state.json").read_text())
    state["features"]["x"]["files"]["1.npz"] = hashlib.sha256((tmp_path / "s" / "1.npz").read_bytes()).hexdigest()
    (tmp_path / "s" / "state.json").write_text(json.dumps(state))
    with pytest.raises(ConfigError, match="allow_pickle"):  # nothing in a state is run
        Fitting(path, "y").add_saved(tmp_path / "s")
    (tmp_path / "s" / "state.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"state\.json is damaged"):
        Fitting(path, "y").add_saved(tmp_path / "s")


# -------------------------------------------------------------------------------------- loading and saving


def test_a_config_that_is_not_fitted_says_what_to_run(write):
    path = write(WORDS | {"fit": {"vocabulary": {}}}, NUMBER | {"fit": {"normalizer": "zscore"}})
    with pytest.raises(ConfigError, match=r"(?s)2 problems.*'w' . fit\s+is not fitted yet.*easyrec fg fit -c"):
        FeatureGenerator.load(path)
    with pytest.raises(ConfigError, match="must come from a file"):
        FeatureGenerator.load({"features": [WORDS | {"fit": {"vocabulary": {}}}]})
    blank = FeatureGenerator.load(path, blanks=True)
    assert (blank.outputs["w"].kind, blank.outputs["x"].kind) == ("sparse", "dense")


def test_what_was_learned_may_lie_elsewhere(write, tmp_path):
    config = {"features": [WORDS | {"fit": {"vocabulary": {}}}]}
    fit(config, batches({"w": ["a"]})).learned().write(tmp_path / "there")
    generator = FeatureGenerator.load(config, fitted=tmp_path / "there")
    assert ids(generator.transform({"w": ["a", "b"]}), "w") == [[2], [1]]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"fit": {"vocabulary": {"min_count": 2}}}, "fit.vocabulary.min_count: unset when it was fitted, 2 now"),
        ({"expression": "item:v"}, 'expression: "item:w" when it was fitted, "item:v" now'),
        ({"separator": ","}, 'separator: unset when it was fitted, "," now'),
        ({"default_value": "a"}, 'default_value: unset when it was fitted, "a" now'),
        ({"fit": {"vocabulary": {}}, "embedding_dim": 4, "pooling": "mean"}, ""),
    ],
)
def test_a_feature_that_has_changed_is_fitted_again(write, change, told):
    config = WORDS | {"fit": {"vocabulary": {}}}
    learn(write(config), {"w": ["a"]})
    path = write(config | change)
    if told:
        with pytest.raises(ConfigError, match="was fitted with other settings") as error:
            FeatureGenerator.load(path)
        assert told in str(error.value)
    else:
        FeatureGenerator.load(path)


def test_what_a_feature_reads_counts_as_its_own(write):
    stub = {"type": "id", "name": "s", "expression": "item:w", "stub_type": True}
    reader = {"type": "id", "name": "r", "expression": "feature:s", "fit": {"vocabulary": {}}}
    generator = learn(write(stub, reader), {"w": ["a", "b", "b"]})
    assert ids(generator.transform({"w": ["b"]}), "r") == [[2]]
    with pytest.raises(ConfigError, match=r"reads\.s\.expression"):
        FeatureGenerator.load(write(stub | {"expression": "item:v"}, reader))


def test_a_file_that_was_altered_is_refused(write):
    path = write(WORDS | {"fit": {"vocabulary": {}}})
    learn(path, {"w": ["a"]})
    (file,) = path.with_suffix(".fitted").glob("*.txt")
    file.write_text("b\t2\n")
    with pytest.raises(ConfigError, match="is missing or was altered"):
        FeatureGenerator.load(path)
    (path.with_suffix(".fitted") / "fitted.json").write_text('{"format": 1}')
    with pytest.raises(ConfigError, match="is not what easyrec fg fit writes"):
        FeatureGenerator.load(path)


def test_fitting_again_leaves_what_a_running_job_reads(write):
    path = write(WORDS | {"fit": {"vocabulary": {}}})
    generator = learn(path, {"w": ["a"]})
    before = generator.fingerprint
    assert learn(path, {"w": ["a"]}).fingerprint == before
    assert learn(path, {"w": ["b"]}).fingerprint != before
    assert generator.fingerprint == before  # its file is still there
    learn(path, {"w": ["c"]})
    assert len(list(path.with_suffix(".fitted").iterdir())) == 3  # and gone a fit later


def test_a_saved_generator_is_frozen(write, tmp_path):
    path, rows = everything(write), some_rows()
    generator = learn(path, rows, label="y")
    fingerprint, expected = generator.fingerprint, generator.transform(rows)
    generator.save(tmp_path / "g")
    for file in path.with_suffix(".fitted").iterdir():
        file.unlink()
    again = FeatureGenerator.load(tmp_path / "g")
    assert again.fingerprint == fingerprint
    assert '"fit"' not in (tmp_path / "g" / "features.json").read_text()
    for name in generator.outputs:
        np.testing.assert_array_equal(again.transform(rows)[name].values, expected[name].values)


def test_encoded_columns_need_what_was_learned_too(write):
    path = write(WORDS | {"fit": {"vocabulary": {}}})
    learn(path, {"w": ["a", "b"]})
    assert FeatureGenerator.load(path, mode="encoded").outputs["w"].num_embeddings == 4


# ------------------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("feature", "told"),
    [
        (WORDS | {"fit": {}}, "says nothing that is to be learned; known here: vocabulary"),
        (WORDS | {"fit": {"boundaries": {}}}, "is nothing that type 'id' learns"),
        (NUMBER | {"fit": {"vocabulary": {}}}, "is nothing that type 'raw' learns"),
        (WORDS | {"fit": {"vocabulary": {}}, "hash_bucket_size": 9}, "does not go with fit.vocabulary"),
        (WORDS | {"fit": {"vocabulary": {}}, "default_bucketize_value": 1}, "does not go with fit.vocabulary"),
        (NUMBER | {"fit": {"boundaries": {}}, "boundaries": [1]}, "does not go with fit.boundaries"),
        (NUMBER | {"fit": {"normalizer": "zscore"}, "normalizer": "method=log10"}, "does not go with fit.normalizer"),
        (NUMBER | {"fit": {"normalizer": "zscores"}}, "must be 'zscore' or 'minmax'"),
        (NUMBER | {"fit": {"boundaries": {"buckets": 1}}}, "greater than or equal to 2"),
        (NUMBER | {"fit": {"boundaries": {"min_rows": 5}}}, "goes with method: tree"),
        (NUMBER | {"fit": {"boundaries": {"method": "tree"}}}, "a tree needs a label"),
        (NUMBER | {"fit": {"boundarys": {}}}, "did you mean 'boundaries'?"),
        (NUMBER | {"fit": {"boundaries": {}}, "default_value": "x"}, "'x' is not a number"),
        (
            {"type": "bm25", "name": "m", "query": "user:q", "title": "item:t", "fit": {}, "doc_count": 4},
            "does not go with fit.doc_freq",
        ),
        (
            {"type": "bm25", "name": "m", "query": "user:q", "title": "item:t"}
            | {"fit": {"doc_freq": {}, "normalizer": "zscore"}},
            "cannot be learned together",
        ),
        (
            {"type": "lookup", "name": "l", "map": "user:m", "key": "item:k"}
            | {"fit": {"vocabulary": {}, "boundaries": {}}},
            "cannot be learned together",
        ),
    ],
)
def test_a_fit_that_cannot_be_is_told(write, feature, told):
    path = write(feature)
    with pytest.raises(ConfigError) as error:
        Fitting(path)
    assert told in str(error.value)
    assert "line " in str(error.value)


def test_a_feature_that_reads_one_to_be_fitted_is_told(write):
    first = WORDS | {"fit": {"vocabulary": {}}}
    second = {"type": "id", "name": "r", "expression": "feature:w", "fit": {"vocabulary": {}}}
    with pytest.raises(ConfigError, match="reads 'w', which is still to be fitted itself"):
        Fitting(write(first, second))
    with pytest.raises(ConfigError, match="no feature has the key 'fit'"):
        Fitting(write(NUMBER))


def test_nothing_to_learn_from_is_told(write):
    path = write(WORDS | {"fit": {"vocabulary": {"min_count": 3}}})
    with pytest.raises(DataError, match="column 'w': has no value in any of 2 rows"):
        fit(path, batches({"w": [None, ""]})).learned()
    with pytest.raises(DataError, match="no word is seen 3 times; the most frequent one is seen 2 times"):
        fit(path, batches({"w": ["a", "a", "b"]})).learned()


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        Learned(1, {"w": Outcome({})}, {"w": {}}).write(tmp_path / "file" / "fitted")
