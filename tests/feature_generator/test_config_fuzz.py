"""Configs of any kind: a generator comes out, or an error that tells what is wrong with the config. Nothing else."""

import copy
import json
import math
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feature_generator import FeatureGenerator
from feature_generator.config import members
from feature_generator.errors import ConfigError

GOLDEN = Path(__file__).parent.parent / "golden"
CASES = [json.loads(line) for line in (GOLDEN / "fg_cases.jsonl").read_text(encoding="utf-8").splitlines()]
CONFIGS = [case["features"] for case in CASES if not case.get("assets")]
KEYS = sorted({key for features in CONFIGS for feature in features for key in feature})
TYPES = sorted(members("feature_generator.features"))

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 12),
    st.sampled_from([2**31, 2**63, 2**64, -(2**63), 10**30, math.nan, math.inf, -math.inf, 1e308, -0.0]),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(
        [
            "",
            "user:a",
            "item:b",
            "feature:x",
            "const:",
            ":",
            "user:",
            "method=log10",
            "method=",
            "a+b",
            "[",
            "é",
            "\0",
            ";",
        ]
    ),
    st.sampled_from(TYPES),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.sampled_from(KEYS), st.text(max_size=4)), inner, max_size=3),
    ),
    max_leaves=6,
)


def places(value, path=()):
    """The paths of all that a document holds."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from places(item, (*path, key))


@st.composite
def mutated(draw):
    """The features of a golden case, with some of it changed, dropped, moved or added."""
    document = {"features": copy.deepcopy(draw(st.sampled_from(CONFIGS)))}
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from([p for p in places(document) if p]))
        holder = document
        for key in path[:-1]:
            holder = holder[key]
        kind = draw(st.sampled_from(["change", "drop", "rename", "add", "double"]))
        if kind == "change":
            holder[path[-1]] = draw(VALUES)
        elif kind == "drop":
            del holder[path[-1]]
        elif kind == "double" and isinstance(holder, list):
            holder.append(copy.deepcopy(holder[path[-1]]))
        elif isinstance(holder, dict):
            value = holder.pop(path[-1]) if kind == "rename" else draw(VALUES)
            holder[draw(st.sampled_from(KEYS))] = value
        if not document:
            break
    return document


def load(source):
    try:
        FeatureGenerator.load(source)
    except ConfigError:
        return


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(document=mutated())
def test_changed_configs_load_or_tell_what_is_wrong(document, monkeypatch):
    monkeypatch.chdir(GOLDEN)
    load(document)


@given(document=st.dictionaries(st.sampled_from(["features", "hash", "x"]), VALUES, max_size=3))
def test_documents_of_anything_load_or_tell_what_is_wrong(document):
    load(document)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_files_load_or_tell_what_is_wrong(data, tmp_path):
    text = yaml.safe_dump({"features": data.draw(st.sampled_from(CONFIGS))}, allow_unicode=True)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text)))
        size = data.draw(st.integers(0, 5))
        pieces = st.sampled_from(
            ["", ":", "\n", "  ", "- ", "[", "]", "{", "&a ", "*a", "!!int ", "'", '"', "\t", "#", "|", "? "]
        )
        text = text[:at] + data.draw(pieces) + text[at + size :]
    path = tmp_path / "features.yaml"
    path.write_text(text, encoding="utf-8")
    load(path)


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b"\0", b"features:\n- \x80", b"!!python/object:os.system {}", b"a: &a [*a]"]
)
def test_files_that_are_no_yaml_tell_so(content, tmp_path):
    path = tmp_path / "features.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError):
        FeatureGenerator.load(path)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("features: !!int x", "'x' is no int"),
        ("features: !!bool x", "'x' is no bool"),
        ("features: !!int ''", "'' is no int"),
        ("features: !!timestamp x", "'x' is no timestamp"),
        ('features: "\\0"', "null character"),
    ],
)
def test_scalars_that_are_not_what_they_look_like(text, told, tmp_path):
    path = tmp_path / "features.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=told):
        FeatureGenerator.load(path)


def test_a_value_map_that_is_none():
    with pytest.raises(ConfigError, match="value_map"):
        FeatureGenerator.load({"features": [{"type": "combine", "name": "a", "value_map": "b"}]})


@pytest.mark.parametrize(
    "key", ["hash_bucket_size", "num_buckets", "sequence_length", "value_dim", "default_bucketize_value"]
)
def test_a_number_that_is_too_large_for_the_kernels(key):
    feature = {"type": "id", "name": "a", "hash_bucket_size": 10, key: 2**63}
    with pytest.raises(ConfigError, match=key):
        FeatureGenerator.load({"features": [feature]})
