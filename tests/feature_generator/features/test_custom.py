"""`custom`: built-in operators against their specification, operators of packages, and what is refused."""

import math
import random
import re
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_generator import ConfigError, DataError, FeatureGenerator, config
from feature_generator.operators import file_name

GUIDE = Path(__file__).parents[3] / "docs" / "guide" / "custom_operators.md"
BLOCKS = dict(re.findall(r"^```(python|yaml|c)\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.M | re.S)[::-1])
"""The first block of each language."""
OPERATORS = st.sampled_from(
    [
        ("EditDistance", {}, 2),
        ("edit_distance", {"encoding": "latin"}, 2),
        ("RegexReplace", {"regex_pattern": "a|[0-9]", "replacement": "<>"}, 1),
        ("RegexReplace", {"regex_pattern": "[^7]"}, 1),
        ("SeqExpr", {"formula": "q - 2 * t"}, 2),
        ("SeqExpr", {"formula": "dot"}, 2),
        ("SeqExpr", {"formula": "max"}, 2),
    ]
)
RESULTS = st.sampled_from(
    [
        {},
        {"boundaries": [0.0, 2.0, 5.0]},
        {"boundaries": [1.0], "value_dim": 0},
        {"normalizer": "method=minmax,min=0,max=4", "default_value": "7"},
        {"hash_bucket_size": 50},
        {"num_buckets": 9, "value_dim": 1},
        {"vocab_list": ["1", "2", "b"], "value_dim": 0},
    ]
)


@st.composite
def customs(draw, name, sides=("user:q", "item:t")):
    operator, params, inputs = draw(OPERATORS)
    used = {"operator_name": operator, "operator_params": params, "expression": list(sides[-inputs:])}
    return {"type": "custom", "name": name, **used, **draw(RESULTS), **draw(st.sampled_from([{}, {"separator": "|"}]))}


@given(st.data())
@settings(max_examples=settings.default.max_examples * 3 // 2)
def test_compiled_equals_reference_on_any_column(kit, data):
    feature = data.draw(customs("f"))
    rows = data.draw(st.integers(0, 20))
    generator = kit.load([feature])
    columns = {name: data.draw(kit.arrays(kit.plain, rows)) for name in generator.inputs}
    kit.compare(generator, columns, generator.transform(columns, bad_rows="default"))


@given(st.data())
def test_compiled_equals_reference_in_sequences(kit, data):
    """Item columns have a step each, the others stand beside every step."""
    grouped = data.draw(st.booleans())
    feature, shape = data.draw(customs("f", ("user:q", "item:t"))), data.draw(kit.sequences)
    rows = data.draw(st.integers(0, 8))
    generator = kit.load(
        [{"type": "sequence", "name": "g", "features": [feature], **shape} if grouped else feature | shape]
    )
    columns = {
        name: data.draw(kit.arrays(kit.plain if name == "q" else kit.plain | kit.nested, rows))
        for name in generator.inputs
    }
    kit.compare(generator, columns, generator.transform(columns, bad_rows="default"))


@pytest.mark.parametrize("operator", [("EditDistance", {}), ("SeqExpr", {"formula": "t - q"})], ids=lambda o: o[0])
def test_ten_thousand_rows_in_blocks_and_on_threads(kit, operator):
    draw = random.Random(5)
    letters = "ab中" if operator[0] == "EditDistance" else "0123456789"
    columns = {
        name: pa.array(
            [draw.choice([None, "".join(draw.choices(letters, k=draw.randrange(1, 9)))]) for _ in range(10_000)]
        )
        for name in ("q", "t")
    }
    feature = {"type": "custom", "name": "f", "operator_name": operator[0], "operator_params": operator[1]}
    generator = kit.load([feature | {"expression": ["user:q", "item:t"]}])
    table = generator.transform(columns, threads=2)
    kit.compare(generator, columns, table)
    kit.equal(table, generator.transform(columns))


# ------------------------------------------------------------------------------------- which are sequences


def inputs_of(kit, expression, **more):
    names = [side.partition(":")[2] for side in expression]
    formula = {"operator_name": "SeqExpr", "operator_params": {"formula": " + ".join(names)}}
    child = {"type": "custom", "name": "f", "expression": expression, **formula, **more}
    return list(kit.load([{"type": "sequence", "name": "g", "features": [child]}]).inputs)


def test_columns_are_sequences_by_key_by_side_or_by_name(kit):
    assert inputs_of(kit, ["user:a", "user:b_seq"], sequence_fields=["a"]) == ["g__a", "b_seq"]
    assert inputs_of(kit, ["item:a", "user:b_seq"]) == ["g__a", "b_seq"]
    assert inputs_of(kit, ["user:a", "user:b_seq"]) == ["a", "b_seq"]
    with pytest.raises(ConfigError, match="none of its inputs is a sequence; sequence_fields names those that are"):
        inputs_of(kit, ["user:a", "user:sequel"])


def test_distance_of_every_step_to_the_user(kit):
    feature = {
        "type": "custom",
        "name": "f",
        "operator_name": "SeqExpr",
        "operator_params": {"formula": "spherical_distance"},
        "expression": ["item:lng", "item:lat", "user:x", "user:y"],
        "boundaries": [0, 150, 1500],
    }
    generator = kit.load([{"type": "sequence", "name": "g", "features": [feature], "empty": "default"}])
    table = generator.transform({"g__lng": ["0;3", None], "g__lat": ["0;0", None], "x": ["1", None], "y": ["0", None]})
    degree = math.pi * 6371 / 180
    assert degree < 150 < 2 * degree
    assert table["g__f"].values.tolist() == [1, 2, 1]
    assert table["g__f"].lengths.tolist() == [2, 1]


# ---------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"operator_name": "EditDistanse"}, r"unknown operator 'EditDistanse'; did you mean 'EditDistance'\?\n"),
        ({"operator_name": ""}, "operator_name\n.*this key is required; known: EditDistance, RegexReplace, SeqExpr"),
        ({"operator_params": {"encoding": "gbk"}}, "operator_params . encoding\n.*must be 'utf-8' or 'latin'"),
        ({"operator_params": {"encodin": "utf-8"}}, "operator_params . encodin\n.*unknown key"),
        ({"expression": ["user:q"]}, "EditDistance needs 2 columns, but there are 1"),
        ({"value_dim": 0}, "goes with ids or boundaries"),
        ({"operator_name": "SeqExpr", "operator_params": {"formula": "q -"}}, "operator_params . formula\n"),
        ({"operator_name": "SeqExpr", "operator_params": {"formula": "z"}}, "operator_params . formula\n.*z"),
        ({"operator_name": "SeqExpr"}, "operator_params . formula\n.*this key is required"),
        (
            {"operator_name": "RegexReplace", "operator_params": {"regex_pattern": "("}, "expression": ["user:q"]},
            "operator_params . regex_pattern\n.*missing",
        ),
    ],
)
def test_a_wrong_config_is_told(kit, change, message):
    feature = {"type": "custom", "name": "f", "operator_name": "EditDistance", "expression": ["user:q", "item:t"]}
    with pytest.raises(ConfigError, match=message):
        kit.load([feature | change])


def test_names_of_operators_and_files():
    names = ["EditDistance", "edit_distance", "HTTPCode", "A", "TopK2Words"]
    assert [file_name(name) for name in names] == ["edit_distance", "edit_distance", "http_code", "a", "top_k2_words"]


# ------------------------------------------------------------------------------------ operators of packages


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package with the guide's operator and more, not yet plugged in."""
    folder = tmp_path / "acme_operators" / "operators"
    folder.mkdir(parents=True)
    (folder / "half_life.py").write_text(BLOCKS["python"])
    (folder / "words.py").write_text(WORDS)
    monkeypatch.syspath_prepend(tmp_path)
    yield "acme_operators"
    config.plugins.packages.clear()
    config.members.cache_clear()
    for name in [name for name in sys.modules if name.startswith("acme_operators")]:
        del sys.modules[name]


WORDS = '''
import pyarrow as pa
from feature_generator.operators import BadParameterError, CustomOperator, Parameters


class Params(Parameters):
    fault: str = ""


class Operator(CustomOperator):
    """The longest word, or a fault."""

    parameters = Params
    form = "text"
    multi_value = True

    def prepare(self):
        if self.params.fault == "prepare":
            raise BadParameterError("fault", "must not be that")

    def __call__(self, *columns):
        if self.params.fault == "raise":
            raise RuntimeError("out of words")
        if self.params.fault == "short":
            return columns[0].slice(1)
        if self.params.fault == "type":
            return columns[0].to_pylist()
        return pa.array([max(words, key=len) if words else None for words in columns[0].to_pylist()])
'''


def test_the_guides_operator_is_found_once_its_package_is_plugged_in(kit, package, tmp_path):
    (tmp_path / "shown.yaml").write_text(BLOCKS["yaml"])
    with pytest.raises(ConfigError, match="unknown operator 'HalfLife'"):
        FeatureGenerator.load(tmp_path / "shown.yaml")
    config.plug(package)
    generator = FeatureGenerator.load(tmp_path / "shown.yaml")
    data = {"weight": pa.array(["8", "1", None, "x"]), "age_days": pa.array([4, 0, 1, 1])}
    table = generator.transform(data, bad_rows="default")
    assert table["fresh_weight"].values[:, 0].tolist() == [2, 1, 0, 0]
    assert [(bad.row, bad.column) for bad in table.bad] == [(3, "weight")]
    kit.compare(generator, data, table)


def test_an_installed_package_names_its_operators_as_entry_points(kit, package, monkeypatch):
    entry = EntryPoint("half_life", f"{package}.operators.half_life", "feature_generator.operators")
    asked = config.entry_points
    monkeypatch.setattr(
        config, "entry_points", lambda **want: [entry] if want.get("group") == entry.group else asked(**want)
    )
    config.members.cache_clear()
    feature = {"type": "custom", "name": "f", "operator_name": "HalfLife", "expression": ["user:w", "user:a"]}
    assert kit.load([feature]).transform({"w": [4], "a": [7]})["f"].values.tolist() == [[2]]


def words(kit, package, fault=""):
    config.plug(package)
    feature = {"type": "custom", "name": "f", "operator_name": "Words", "expression": ["user:w"], "separator": " "}
    return kit.load([feature | {"operator_params": {"fault": fault}, "vocab_list": ["red", "blue", "?"]}])


def test_an_operator_over_lists_makes_words(kit, package):
    generator = words(kit, package)
    data = {"w": pa.array([b"red blue", b"", None, b"re red", b"a \xff"], pa.binary())}
    table = generator.transform(data)
    assert table["f"].values.tolist() == [3, 0, 0, 2, 1]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("raise", "column 'f': the operator failed: RuntimeError: out of words"),
        ("short", "the operator returned 1 values for 2 elements"),
        ("type", "must return an Arrow array, but returned a list"),
    ],
)
def test_a_failing_operator_is_told(kit, package, fault, message):
    generator = words(kit, package, fault)
    with pytest.raises(DataError, match=message):
        generator.transform({"w": ["a", "b"]})


def test_an_operator_may_refuse_its_parameters(kit, package):
    with pytest.raises(ConfigError, match=r"operator_params . fault\n.*must not be that"):
        words(kit, package, "prepare")
