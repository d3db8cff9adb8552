import random
import sys
from typing import Annotated, Any, Literal

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import BeforeValidator, Field, ValidationError

from feature_generator.config import (
    Choice,
    Document,
    StrictModel,
    member,
    members,
    override,
    plug,
    read_config,
    read_yaml,
    repeat_names,
    validate,
)
from feature_generator.document import placed
from feature_generator.errors import ConfigError
from feature_generator.schema import json_schema


class Layer(StrictModel):
    width: int = Field(gt=0)
    dropout: float = 0.0


class Net(StrictModel):
    name: str
    layers: list[Layer] = []
    lr: float = 0.1


def write(folder, text, name="config.yaml"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def lines_of(error):
    return [(p.line, p.where, p.message) for p in error.value.problems]


# ------------------------------------------------------------------------------------------------ models


def test_all_problems_of_a_file_come_in_one_report_with_their_lines(tmp_path):
    path = write(tmp_path, "nme: x\nlayers:\n  - width: 0\n  - width: 8\n    droput: 0.5\nlr: fast\n")
    with pytest.raises(ConfigError) as error:
        validate(Net, read_yaml(path))
    assert {(line, where) for line, where, _ in lines_of(error)} == {
        (1, "nme"),
        (1, "name"),
        (3, "layers[0] . width"),
        (5, "layers[1] . droput"),
        (6, "lr"),
    }
    text = str(error.value)
    assert text.startswith(f"{path}: 5 problems")
    assert "unknown key; did you mean 'dropout'?" in text
    assert "unknown key; did you mean 'name'?" in text
    assert "must be a number, but is 'fast'" in text
    assert "must be greater than 0, but is 0" in text
    assert "this key is required" in text


def test_an_unknown_key_without_a_near_name_lists_what_is_known():
    with pytest.raises(ConfigError, match="known: dropout, width"):
        validate(Layer, Document.of({"width": 1, "zzz": 2}))


class Widths(StrictModel):
    k: int | None = None
    share: Annotated[float, Field(gt=0.0)] = 1.0
    hidden: list[int] | None = None
    bounds: tuple[int, float] = (1, 1.0)
    early: int | Literal[False] = False
    given: bool | int = 1
    read: Annotated[int, BeforeValidator(int)] = 1


def test_true_is_no_number_and_is_told_with_all_else_that_is_wrong(tmp_path):
    path = write(tmp_path, "k: true\nshare: yes\nhidden: [8, false]\nbounds: [true, 1]\n")
    with pytest.raises(ConfigError) as error:
        validate(Widths, read_yaml(path))
    assert [(line, where) for line, where, _ in lines_of(error)] == [
        (1, "k"), (2, "share"), (3, "hidden[1]"), (4, "bounds[0]")
    ]  # fmt: skip
    assert {text for _, _, text in lines_of(error) if "True" in text} == {"must be a number, but is True"}
    with pytest.raises(ValidationError) as both:
        Widths.model_validate({"k": True, "hiden": []})
    assert both.value.error_count() == 2
    assert Widths(early=False, given=True, read=True, k=5, share=2).model_dump()["given"] is True


def test_a_model_is_frozen():
    layer = validate(Layer, Document.of({"width": 1}))
    with pytest.raises(ValueError, match="frozen"):
        layer.width = 2


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_of_a_config_is_finite(value):
    with pytest.raises(ConfigError, match="finite"):
        validate(Layer, Document.of({"width": 1, "dropout": value}))


# -------------------------------------------------------------------------------------------------- YAML


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1.5E+2", 150.0),
        (".5", 0.5),
        ("no", "no"),
        ("on", "on"),
        ("true", True),
        ("010", "010"),
        ("0", 0),
        ("-7", -7),
        ("1_000", 1000),
        ("0x1F", 31),
        ("2026-11-22", "2026-11-22"),
        ("12:30:00", "12:30:00"),
        ("null", None),
        ("~", None),
        ("点击", "点击"),
    ],
)
def test_scalars_are_those_of_yaml_1_2(tmp_path, text, value):
    data = read_yaml(write(tmp_path, f"x: {text}\n")).data
    assert data["x"] == value
    assert type(data["x"]) is type(value)


def test_numbers_as_keys_stay_text(tmp_path):
    assert read_yaml(write(tmp_path, "vocab: {1: a, 2: b}\n")).data == {"vocab": {"1": "a", "2": "b"}}


def test_anchors_and_merge_keys_work(tmp_path):
    document = read_yaml(write(tmp_path, "a: &a {x: 1, y: 2}\nb:\n  <<: *a\n  y: 3\n"))
    assert document.data["b"] == {"x": 1, "y": 3}


def test_a_key_given_twice_is_an_error_on_its_second_line(tmp_path):
    with pytest.raises(ConfigError) as error:
        read_yaml(write(tmp_path, "a: 1\nb: 2\na: 3\n"))
    assert lines_of(error) == [(3, "a", "key is given twice")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1, 2\n", "not valid YAML"),
        ("- 1\n- 2\n", "must be a mapping"),
        ("just a text\n", "must be a mapping"),
        ("a: !!python/object/apply:os.system [echo]\n", "a tag has no meaning"),
        ("a: !!python/name:os.system\n", "not valid YAML"),
        ("? [1, 2]\n: 3\n", "keys must be plain words"),
        ("a: *missing\n", "not valid YAML"),
        ("a: " + "[" * 80 + "]" * 80, "nested more than 64"),
    ],
    ids=["open-bracket", "list", "text", "tag", "tagged-scalar", "key-is-a-list", "unknown-alias", "deep"],
)
def test_what_is_no_config_is_refused(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message):
        read_yaml(write(tmp_path, text))


def test_a_file_that_is_missing_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: 1 problem\n\n  cannot read the file: No such file"):
        read_yaml(tmp_path / "nowhere.yaml")


def test_bytes_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "x.yaml").write_bytes(b"a: \xff\xfe\n")
    with pytest.raises(ConfigError, match="not UTF-8"):
        read_yaml(tmp_path / "x.yaml")


def test_an_empty_file_is_an_empty_config(tmp_path):
    assert read_yaml(write(tmp_path, "")).data == {}


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.text("abcdef xyz点", max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abcdefg", min_size=1, max_size=4), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.text("hijklm", min_size=1, max_size=4), PLAIN, max_size=4))
def test_what_is_written_is_read_back_and_every_value_has_a_line(tmp_path_factory, data):
    path = write(tmp_path_factory.getbasetemp(), yaml.safe_dump(data, allow_unicode=True))
    document = read_yaml(path)
    assert document.data == data
    lines = path.read_text(encoding="utf-8").splitlines()
    for key in data:
        assert lines[document.place((key,))[1] - 1].startswith(f"{key}:")


# ------------------------------------------------------------------------------------------------- base


def test_a_base_is_merged_deep_and_lists_are_replaced(tmp_path):
    write(tmp_path, "train: {epochs: 3, seed: 1}\nlist: [1, 2, 3]\nkeep: yes\n", "base.yaml")
    document = read_yaml(write(tmp_path, "base: base.yaml\ntrain: {epochs: 5}\nlist: [9]\n"))
    assert document.data == {"train": {"epochs": 5, "seed": 1}, "list": [9], "keep": "yes"}


def test_a_section_of_another_type_replaces_that_of_the_base(tmp_path):
    write(tmp_path, "model: {type: deepfm, hidden: [8]}\n", "base.yaml")
    document = read_yaml(write(tmp_path, "base: base.yaml\nmodel: {type: lr}\n"))
    assert document.data == {"model": {"type": "lr"}}


def test_a_problem_in_a_base_names_the_base_file(tmp_path):
    base = write(tmp_path, "name: x\nlayers:\n  - {width: 0}\n", "base.yaml")
    path = write(tmp_path, "base: base.yaml\nlr: 1\n")
    with pytest.raises(ConfigError) as error:
        validate(Net, read_yaml(path))
    assert [(p.file, p.line) for p in error.value.problems] == [(str(base), 3)]
    assert f"{base} line 3" in str(error.value)


def test_bases_in_a_circle_are_refused(tmp_path):
    write(tmp_path, "base: b.yaml\n", "a.yaml")
    write(tmp_path, "base: a.yaml\n", "b.yaml")
    with pytest.raises(ConfigError, match=r"circle: a\.yaml -> b\.yaml -> a\.yaml"):
        read_yaml(tmp_path / "a.yaml")


def test_a_base_that_is_missing_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"gone\.yaml"):
        read_yaml(write(tmp_path, "base: gone.yaml\n"))


# ------------------------------------------------------------------------------------------ environment


def test_environment_variables_are_put_in_and_never_stored(tmp_path, monkeypatch):
    monkeypatch.setenv("SHOP_DATA", "/data/shop")
    document = read_yaml(write(tmp_path, "path: ${SHOP_DATA}/train.parquet\n"))
    assert document.data == {"path": "/data/shop/train.parquet"}
    assert document.raw == {"path": "${SHOP_DATA}/train.parquet"}


def test_an_environment_variable_that_is_not_set_is_an_error_with_its_line(tmp_path, monkeypatch):
    monkeypatch.delenv("NO_SUCH_VARIABLE", raising=False)
    with pytest.raises(ConfigError) as error:
        read_yaml(write(tmp_path, "a: 1\nb: [x, '${NO_SUCH_VARIABLE}']\n"))
    assert lines_of(error) == [(2, "b[1]", "environment variable 'NO_SUCH_VARIABLE' is not set")]


def test_a_setting_takes_the_place_of_an_environment_variable_that_is_not_set(tmp_path, monkeypatch):
    monkeypatch.delenv("NO_SUCH_VARIABLE", raising=False)
    text = {"a": "${NO_SUCH_VARIABLE}", "b": 1}
    for source in (text, write(tmp_path, "a: ${NO_SUCH_VARIABLE}\nb: 1\n")):
        assert read_config(source, ["a=x"]).data == {"a": "x", "b": 1}
        with pytest.raises(ConfigError, match="'NO_SUCH_VARIABLE' is not set"):
            read_config(source, ["b=2"])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("embed.tables[users].path: no such file", (5, "embed . tables[1] 'users' . path", "no such file")),
        ("embed.tables[0]: has no column: 'x'", (4, "embed . tables[0] 'items'", "has no column: 'x'")),
        ("embed.seed: is odd", (3, "embed", "embed.seed: is odd")),
        ("embed: is odd\nand long", (3, "embed", "is odd\nand long")),
        ("items.parquet: no such file", (0, "", "items.parquet: no such file")),
        ("the embed.tables: is odd", (0, "", "the embed.tables: is odd")),
    ],
)
def test_what_is_found_wrong_later_is_told_with_its_line(tmp_path, text, told):
    rows = "name: x\n\nembed: {tables: [\n  {name: items, path: a},\n  {name: users, path: b}]}\n"
    error = placed(ConfigError(text), read_yaml(write(tmp_path, rows)))
    assert [(one.line, one.where, one.message) for one in error.problems] == [told]


# -------------------------------------------------------------------------------------------- overrides


def layers_document():
    return Document.of({"train": {"epochs": 1}, "features": [{"name": "a", "dim": 4}, {"name": "b", "dim": 4}]})


@pytest.mark.parametrize(
    ("setting", "path", "value"),
    [
        ("train.epochs=3", ("train", "epochs"), 3),
        ("train.lr=1e-3", ("train", "lr"), 0.001),
        ("model.hidden=[256,128]", ("model", "hidden"), [256, 128]),
        ("features[b].dim=32", ("features", 1, "dim"), 32),
        ("features[0].dim=32", ("features", 0, "dim"), 32),
        ("train.name=a=b", ("train", "name"), "a=b"),
        ("train.x={type: adam, lr: 0.1}", ("train", "x"), {"type": "adam", "lr": 0.1}),
        ("train=", ("train",), None),
    ],
)
def test_an_override_sets_the_value_at_its_path(setting, path, value):
    data = override(layers_document(), [setting]).data
    for part in path:
        data = data[part]
    assert data == value


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("train.epochs", "must be path=value"),
        ("train.epochs=[1", "not valid YAML"),
        ("features[bb].dim=1", "no element 'bb' here"),
        ("features[7].dim=1", "no element '7' here"),
        ("train.epochs.x=1", "'train.epochs' is a plain value"),
        ("=1", "the path is empty"),
    ],
)
def test_an_override_that_leads_nowhere_is_an_error(setting, message):
    with pytest.raises(ConfigError, match=message):
        override(layers_document(), [setting])


def test_overrides_leave_the_document_they_came_from_alone():
    document = layers_document()
    override(document, ["train.epochs=9", "features[a].dim=1"])
    assert document.data == layers_document().data


def test_overrides_that_lead_into_one_another_leave_the_given_values_alone():
    settings = {"train": {"epochs": 1}, "train.epochs": 9}
    assert override(layers_document(), settings).data["train"] == {"epochs": 9}
    assert settings == {"train": {"epochs": 1}, "train.epochs": 9}


def test_a_problem_with_an_override_names_the_override():
    document = override(Document.of({"name": "x", "lr": 0.5}), ["lr=quick"])
    with pytest.raises(ConfigError) as error:
        validate(Net, document)
    assert [(p.file, p.where) for p in error.value.problems] == [("-o lr=quick", "lr")]


def test_a_mapping_of_overrides_takes_values_as_they_are():
    assert override(layers_document(), {"train.epochs": 2, "features[a].dim": 8}).data["features"][0]["dim"] == 8


# ---------------------------------------------------------------------------------------------- ranges


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["int_0 .. int_3"], ["int_0", "int_1", "int_2", "int_3"]),
        (["I08..I11"], ["I08", "I09", "I10", "I11"]),
        (["a", "b_1 .. b_2"], ["a", "b_1", "b_2"]),
        ("c_5 .. c_5", ["c_5"]),
    ],
)
def test_names_repeat_an_entry(names, expected):
    document = repeat_names(Document.of([{"type": "raw", "names": names, "expression": "user:{name}"}]))
    assert [f["name"] for f in document.data] == expected
    assert [f["expression"] for f in document.data] == [f"user:{n}" for n in expected]
    assert all("names" not in f for f in document.data)


@pytest.mark.parametrize("text", ["a_3 .. a_1", "a_1 .. b_3", "a .. b"])
def test_a_range_that_does_not_count_up_is_an_error(text):
    with pytest.raises(ConfigError, match="a range counts up"):
        repeat_names(Document.of([{"names": [text]}]))


def test_a_problem_in_a_repeated_entry_has_the_line_of_the_entry(tmp_path):
    path = write(tmp_path, "features:\n  - {name: x, width: 1}\n  - {names: [a_0 .. a_2],\n     width: 0}\n")
    document = repeat_names(read_yaml(path).at(("features",)))
    assert [document.place((i, "width"))[1] for i in range(4)] == [2, 4, 4, 4]


# -------------------------------------------------------------------------------------------- families


class Zoo(StrictModel):
    animal: Annotated[Any, Choice("animals", default="cat")] = None


@pytest.fixture
def family(tmp_path, monkeypatch):
    """A family `animals` on disk with the members cat and dog, and a file that is no member."""
    home = tmp_path / "animals"
    home.mkdir()
    text = (
        "from typing import Literal\nfrom feature_generator.config import StrictModel\n"
        "class Config(StrictModel):\n    type: Literal['{0}'] = '{0}'\n    age: int = 1\n"
    )
    (home / "__init__.py").write_text("")
    (home / "cat.py").write_text(text.format("cat"))
    (home / "dog.py").write_text(text.format("dog"))
    (home / "_bones.py").write_text("raise RuntimeError('no member')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    members.cache_clear()
    yield "animals"
    members.cache_clear()
    for name in [n for n in sys.modules if n.partition(".")[0] == "animals"]:
        del sys.modules[name]


def test_the_file_name_is_the_type_name(family):
    assert members(family) == ("cat", "dog")
    zoo = validate(Zoo, Document.of({"animal": {"type": "dog", "age": 3}}))
    assert (zoo.animal.type, zoo.animal.age) == ("dog", 3)
    assert type(zoo.animal).__module__ == "animals.dog"


@pytest.mark.parametrize(("value", "kind"), [("dog", "dog"), ({"type": "dog"}, "dog"), ({"age": 2}, "cat")])
def test_a_bare_name_and_the_default_stand_for_a_type(family, value, kind):
    assert validate(Zoo, Document.of({"animal": value})).animal.type == kind


def test_a_member_is_imported_only_when_it_is_asked_for(family):
    validate(Zoo, Document.of({"animal": "cat"}))
    assert "animals.cat" in sys.modules
    assert "animals.dog" not in sys.modules


@pytest.mark.parametrize("name", ["dgo", "_bones", "../cat", "cat.Config", "os", "", "__init__"])
def test_a_name_that_is_no_member_imports_nothing_and_lists_the_members(family, name):
    before = set(sys.modules)
    with pytest.raises(ConfigError, match=r"unknown type .*\n.*known: cat, dog"):
        validate(Zoo, Document.of({"animal": {"type": name}}))
    assert not [n for n in set(sys.modules) - before if n.startswith("animals.")]
    with pytest.raises(KeyError):
        member(family, name)


def test_a_typo_in_a_type_names_the_nearest_member(family, tmp_path):
    path = write(tmp_path, "animal:\n  type: dogg\n")
    with pytest.raises(ConfigError) as error:
        validate(Zoo, read_yaml(path))
    assert lines_of(error) == [(2, "animal . type", "unknown type 'dogg'; did you mean 'dog'?\nknown: cat, dog")]


def test_a_typo_inside_a_member_has_its_line(family, tmp_path):
    path = write(tmp_path, "animal:\n  type: dog\n  agee: 3\n")
    with pytest.raises(ConfigError) as error:
        validate(Zoo, read_yaml(path))
    assert lines_of(error) == [(3, "animal . agee", "unknown key; did you mean 'age'?")]


def test_a_plugged_package_adds_members_where_it_mirrors_ours(tmp_path, monkeypatch):
    name = f"acme{random.Random(str(tmp_path)).randrange(10**9)}"
    home = tmp_path / name / "features"
    home.mkdir(parents=True)
    for folder in (tmp_path / name, home):
        (folder / "__init__.py").write_text("")
    (home / "sparkle.py").write_text("Config = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "sparkle" not in members("feature_generator.features")
    plug(name)
    try:
        assert "sparkle" in members("feature_generator.features")
        assert member("feature_generator.features", "sparkle").__name__ == f"{name}.features.sparkle"
    finally:
        from feature_generator import plugins

        plugins.packages.remove(name)
        members.cache_clear()


@pytest.mark.parametrize("name", ["no_such_package_anywhere", "no_such.package", "..", ""])
def test_a_package_that_is_not_there_cannot_be_plugged_in(name):
    with pytest.raises(ConfigError, match="there is no package"):
        plug(name)


def test_what_members_hold_alike_is_defined_once(family, tmp_path):
    for name, kind in {"ant": "int", "bee": "int", "wasp": "str"}.items():
        (tmp_path / "animals" / f"{name}.py").write_text(
            "from typing import Literal\n"
            "from feature_generator.config import StrictModel\n"
            f"class Leg(StrictModel):\n    title: {kind}\n"
            "class Legs(StrictModel):\n    left: list[Leg]\n"
            f"class Config(StrictModel):\n    type: Literal['{name}'] = '{name}'\n    legs: Legs\n"
        )
    members.cache_clear()

    class Swarm(StrictModel):
        animal: Annotated[Any, Choice("animals")]

    schema = json_schema(Swarm)
    legs = sorted(name for name in schema["$defs"] if "Leg" in name)
    assert legs == ["animals.ant.Leg", "animals.ant.Legs", "animals.wasp.Leg", "animals.wasp.Legs"]
    allowed = Draft202012Validator(schema)
    for name, title in {"ant": 1, "bee": 1, "wasp": "one"}.items():
        assert allowed.is_valid({"animal": {"type": name, "legs": {"left": [{"title": title}]}}})
        assert not allowed.is_valid({"animal": {"type": name, "legs": {"left": [{"title": None}]}}})
    (tmp_path / "animals" / "wasp.py").unlink()
    members.cache_clear()
    assert {"Leg", "Legs"} <= set(json_schema(Swarm)["$defs"])


def test_a_familys_json_schema_is_one_of_its_members(family):
    class Fresh(StrictModel):
        animal: Annotated[Any, Choice("animals", default="cat")]
        other: Annotated[Any, Choice("animals")] = None

    schema = json_schema(Fresh)
    allowed = Draft202012Validator(schema)
    for good in ("dog", {"type": "dog", "age": 3}, {"age": 3}, {"type": "cat"}):
        assert allowed.is_valid({"animal": good}), good
    for bad in ("bird", {"type": "bird"}, {"type": "dog", "agee": 3}, {"type": "dog", "age": "old"}, 7):
        assert not allowed.is_valid({"animal": bad}), bad
    assert not allowed.is_valid({"animal": "cat", "other": {"age": 3}})  # here no type is the default
    assert {"animals", "animals.cat", "animals.dog"} <= set(schema["$defs"])


def test_a_family_may_hold_itself(family, tmp_path):
    (tmp_path / "animals" / "herd.py").write_text(
        "from typing import Annotated, Any, Literal\n"
        "from feature_generator.config import Choice, StrictModel\n"
        "class Config(StrictModel):\n"
        "    type: Literal['herd'] = 'herd'\n"
        "    of: list[Annotated[Any, Choice('animals')]]\n"
    )
    members.cache_clear()

    class Farm(StrictModel):
        animal: Annotated[Any, Choice("animals")]

    allowed = Draft202012Validator(json_schema(Farm))
    assert allowed.is_valid({"animal": {"type": "herd", "of": ["cat", {"type": "herd", "of": [{"type": "dog"}]}]}})
    assert not allowed.is_valid({"animal": {"type": "herd", "of": [{"type": "herd", "of": ["bird"]}]}})
