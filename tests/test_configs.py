"""Every config that this repository shows is one that works."""

import re
import shutil
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from easyrec.config import load_experiment
from easyrec.tune.search import load_search
from feature_generator.config import read_yaml

ROOT = Path(__file__).parents[1]
CONFIGS = sorted((ROOT / "configs").rglob("*.yaml"))
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
VARIABLES = sorted(set(re.findall(r"\$\{(\w+)\}", "".join(path.read_text(encoding="utf-8") for path in CONFIGS))))
FENCE = re.compile(r"^```yaml[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)


def named(path):
    return path.relative_to(ROOT).as_posix()


OTHERS = re.compile(
    r"^(# (?:part of )?(?:serving|store|rag|engine|experiments|simulate|loop|llm)[\w-]*\.yaml|project:|models:|views:)",
    re.MULTILINE,
)
"""Blocks of other kinds of configs, which the tests of their own pages read."""


def blocks():
    """Every YAML block of every page, one document each, beside the first one of the page."""
    for page in PAGES:
        if page.name in ("server.md", "server_clients.md"):
            continue
        first = ""
        for number, match in enumerate(FENCE.finditer(page.read_text(encoding="utf-8"))):
            first = first or match.group(1)
            for part, text in enumerate(re.split(r"^---\n", match.group(1), flags=re.MULTILINE)):
                if OTHERS.search(text):
                    continue
                yield pytest.param(text, first, id=f"{named(page)}-{number}-{part}")


@pytest.fixture(scope="module")
def schema(editors_schema):
    Draft202012Validator.check_schema(editors_schema)
    return editors_schema


@pytest.fixture(scope="module")
def fragment(schema):
    """The schema of a config that shows some of its sections."""
    return {key: value for key, value in schema.items() if key not in ("if", "then")}


@pytest.fixture(scope="session")
def errors(schema_validator):
    def found(schema, data):
        return [f"{error.json_path}: {error.message[:300]}" for error in schema_validator(schema).iter_errors(data)]

    return found


@pytest.mark.parametrize("path", [pytest.param(p, id=named(p)) for p in CONFIGS])
def test_a_shipped_config_is_valid_and_the_schema_agrees(errors, path, schema, fragment, monkeypatch, tmp_path):
    for name in VARIABLES:
        monkeypatch.setenv(name, str(tmp_path))
    data = read_yaml(path).data
    if "tune" in data:
        assert load_search(path).parameters
    elif "model" in data:  # the others are bases
        load_experiment(path)
    assert errors(schema if "model" in data else fragment, data) == []


@pytest.mark.parametrize(("text", "first"), list(blocks()))
def test_a_yaml_block_of_the_docs_is_valid(errors, text, first, fragment, tmp_path, monkeypatch):
    for name in re.findall(r"\$\{(\w+)\}", text):
        monkeypatch.setenv(name, "a word")
    monkeypatch.setenv("DB_URI", "sqlite:///rows.db")
    shutil.copytree(ROOT / "configs" / "shop", tmp_path, dirs_exist_ok=True)  # what `base` may name
    (tmp_path / "my.yaml").write_text(first, encoding="utf-8")  # the page's first one, which a later one may build on
    (tmp_path / "shown.yaml").write_text(text, encoding="utf-8")
    data = read_yaml(tmp_path / "shown.yaml").data
    assert errors(fragment, data) == []
    if {"tune", "model"} <= set(data):
        assert load_search(tmp_path / "shown.yaml").parameters
    elif {"data", "features", "model"} <= set(data):
        load_experiment(tmp_path / "shown.yaml", blanks=True)  # a page may show features before they are fitted


def test_the_pages_are_found():
    assert len(PAGES) > 8
    assert len(list(blocks())) > 5


SPACES = [
    {"model": {"choice": [{"type": "fm", "embedding_dim": {"int": [2, 8], "log": True}}, "lr"]}},
    {"model": {"type": {"choice": ["fm", "deepfm"]}, "embedding_dim": 4}},
    {
        "model": {
            "type": "deepfm",
            "embedding_dim": 4,
            "hidden": {"choice": [[64], [{"int": [8, 64], "step": 8}]]},
            "dropout": {"uniform": [0, 0.5]},
        }
    },
    {"train": {"sparse_optimizer": {"type": {"choice": ["adam", "lazy_adam"]}, "lr": {"log": [0.001, 0.1]}}}},
    {"train": {"compile": {"choice": [True, False]}, "grad_clip": {"choice": [None, {"norm": {"uniform": [1, 10]}}]}}},
    {"data": {"labels": ["click"], "negative_sampling": {"keep_rate": {"choice": [0.1, 1.0]}}}},
    {"features": [{"type": "id", "name": "a", "num_buckets": 3, "pooling": {"choice": ["sum", "mean"]}}]},
]


@pytest.mark.parametrize("change", SPACES)
def test_the_schema_knows_spaces(errors, schema, change):
    good = {
        "data": {"labels": ["click"]},
        "features": [{"type": "id", "name": "a", "expression": "user:a", "num_buckets": 3}],
        "model": {"type": "lr"},
    }
    assert errors(schema, {**good, **change}) == []
    assert load_search({**good, **change}, given=("train", "valid")).parameters


@pytest.mark.parametrize(
    "change",
    [
        {"model": {"choice": [{"type": "fm", "embedding_dmi": 4}]}},
        {"model": {"type": "fm", "embedding_dim": {"uniform": [2, 8]}}},
        {"model": {"type": "fm", "embedding_dim": {"int": [2, 8, 9]}}},
        {"model": {"type": "fm", "embedding_dim": {"choice": []}}},
        {"train": {"precision": {"log": [1, 2]}}},
        {"train": {"precision": {"choice": ["fp32", "fp31"]}}},
        {"train": {"dense_optimizer": {"type": "adam", "lr": {"log": [0.1, 1], "setp": 1}}}},
        {"tune": {"seeds": {"int": [1, 2]}}},
        {"name": {"choice": ["a", "b"]}},
        {"trian": {}},
        {"model": {"type": "deepfn"}},
        {"model": {"type": "lr", "droput": 1}},
        {"features": [{"type": "id", "expression": "user:a", "num_buckets": 3}]},
        {"features": [{"type": "id", "name": "a", "names": ["b"], "expression": "user:a", "num_buckets": 3}]},
        {"data": {"labels": []}},
        {"train": {"sparse_optimizer": {"type": "adamm"}}},
        {"model": None},
    ],
)
def test_the_schema_refuses_what_the_library_refuses(errors, schema, change):
    good = {
        "data": {"labels": ["click"]},
        "features": [{"type": "id", "name": "a", "expression": "user:a", "num_buckets": 3}],
        "model": {"type": "lr"},
    }
    assert errors(schema, good) == []
    assert errors(schema, {**good, **change}) != []
