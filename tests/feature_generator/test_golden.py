"""Every golden case of the reference systems, through the compiled generator."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from feature_generator import Column, FeatureGenerator
from feature_generator.config import members

GOLDEN = Path(__file__).parent.parent / "golden"
TYPES = {
    "string": pa.string(),
    "int64": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "bool": pa.bool_(),
}


def arrow_type(text):
    if text in TYPES:
        return TYPES[text]
    head, _, tail = text.partition("<")
    if head == "list":
        return pa.list_(arrow_type(tail[:-1]))
    key, _, value = tail[:-1].partition(",")
    return pa.map_(arrow_type(key), arrow_type(value))


def types_of(features):
    for feature in features:
        yield feature["type"]
        yield from types_of(feature.get("features", []))


def load(name):
    cases = [json.loads(line) for line in (GOLDEN / name).read_text(encoding="utf-8").splitlines()]
    known = set(members("feature_generator.features"))
    for case in cases:
        marks = []
        missing = sorted(set(types_of(case["features"])) - known)
        absent = [a for a in case.get("assets", {}) if not (GOLDEN / a).exists()]
        if missing:
            marks = [pytest.mark.skip(reason=f"type not built yet: {', '.join(missing)}")]
        elif absent:
            marks = [pytest.mark.skip(reason=f"asset not here: {', '.join(absent)}")]
        yield pytest.param(case, id=case["id"], marks=marks)


def columns_of(case):
    columns = {}
    for name, column in case["columns"].items():
        kind, cells = arrow_type(column["type"]), column["values"]
        if pa.types.is_map(kind):
            cells = [None if cell is None else [tuple(pair) for pair in cell] for cell in cells]
        columns[name] = pa.array(cells, kind)
    return columns


def rows_of(values, lengths):
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return [values[a:b] for a, b in pairwise(offsets)]


def check(case, table):
    for name in case.get("absent", []):
        assert name not in table
    for name, expected in case["expect"].items():
        got = table[name]
        tolerance = {"rtol": case.get("rtol", 1e-6), "atol": case.get("rtol", 1e-6)}
        if expected["kind"] == "dense":
            assert isinstance(got, Column)
            wanted = np.array(expected["values"], np.float32)
            np.testing.assert_allclose(got.values, wanted.reshape(got.values.shape), **tolerance)
            continue
        assert got.lengths.tolist() == expected["lengths"]
        if expected["kind"] == "dense_sequence":
            np.testing.assert_allclose(got.values, np.array(expected["values"], np.float32), **tolerance)
            continue
        if expected["kind"] == "sparse_sequence":
            assert got.key_lengths.tolist() == expected["key_lengths"]
        if expected.get("unordered_within_row"):
            weights = np.ones(len(got.values)) if got.weights is None else got.weights
            wanted_weights = expected["weights"] or [1.0] * len(expected["values"])
            pairs = [
                sorted(r)
                for r in rows_of(
                    list(zip(got.values.tolist(), np.round(weights, 5).tolist(), strict=True)), got.lengths
                )
            ]
            wanted = [
                sorted(r)
                for r in rows_of(
                    [
                        (v, round(float(np.float32(w)), 5))
                        for v, w in zip(expected["values"], wanted_weights, strict=True)
                    ],
                    got.lengths,
                )
            ]
            assert [[v for v, _ in r] for r in pairs] == [[v for v, _ in r] for r in wanted]
            np.testing.assert_allclose([w for r in pairs for _, w in r], [w for r in wanted for _, w in r], rtol=1e-4)
            continue
        assert got.values.tolist() == expected["values"]
        if expected["weights"] is not None:
            np.testing.assert_allclose(got.weights, np.array(expected["weights"], np.float32), **tolerance)


def check_meta(case, generator):
    for name, meta in case.get("meta", {}).items():
        spec = generator.outputs.get(name)
        if spec is None:
            continue
        if "num_embeddings" in meta:
            assert spec.num_embeddings == meta["num_embeddings"]
        if "inputs" in meta and len(case["features"]) == 1 and len(case["expect"]) == 1:
            assert set(generator.inputs) == set(meta["inputs"])
        if "output_dim" in meta:
            assert (spec.embedding_dim or spec.value_dim) == meta["output_dim"]
        if "fg_default" in meta:
            raw = FeatureGenerator.load({"features": case["features"], "hash": case["hash"]})
            made = raw.transform({column: pa.nulls(1) for column in raw.inputs})[name].values
            wanted = [] if meta["fg_default"] is None else np.ravel(meta["fg_default"])
            assert made.ravel().tolist() == pytest.approx(wanted)


@pytest.mark.parametrize("case", [*load("fg_cases.jsonl"), *load("fg_more_cases.jsonl")])
def test_raw_columns_become_the_golden_values(case, monkeypatch):
    monkeypatch.chdir(GOLDEN)
    generator = FeatureGenerator.load({"features": case["features"], "hash": case["hash"]})
    check(case, generator.transform(columns_of(case)))
    check_meta(case, generator)


@pytest.mark.parametrize("case", list(load("fg_encoded_cases.jsonl")))
def test_encoded_columns_become_the_golden_values(case, monkeypatch):
    monkeypatch.chdir(GOLDEN)
    generator = FeatureGenerator.load({"features": case["features"], "hash": case["hash"]}, mode="encoded")
    check(case, generator.transform(columns_of(case)))
    check_meta(case, generator)


@pytest.mark.parametrize("case", list(load("fg_decided_cases.jsonl")))
def test_raw_columns_become_the_values_that_we_decided_on(case, monkeypatch):
    monkeypatch.chdir(GOLDEN)
    generator = FeatureGenerator.load({"features": case["features"], "hash": case["hash"]})
    check(case, generator.transform(columns_of(case)))
    check_meta(case, generator)


def test_every_decision_names_the_page_that_states_it():
    sources = {case.values[0]["source"] for case in load("fg_decided_cases.jsonl")}
    assert sources
    assert all((GOLDEN.parents[1] / source).is_file() for source in sources)
