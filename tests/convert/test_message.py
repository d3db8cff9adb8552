import pytest

from easyrec.convert.message import number_of
from easyrec.convert.report import Report
from easyrec.convert.text_format import parse
from easyrec.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12", 12),
        ("-12", -12),
        ("010", 8),
        ("0", 0),
        ("0x1F", 31),
        ("-0x1f", -31),
        ("1.5f", 1.5),
        ("1F", 1.0),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("inf", float("inf")),
        ("-inf", float("-inf")),
        ("", None),
        ("1_0", None),
        ("abc", None),
        ("09", None),
    ],
)
def test_numbers_of_the_format(text, expected):
    assert number_of(text) == expected


@pytest.mark.parametrize(
    ("read", "said"),
    [
        (lambda m: m.integer("x"), "must be a whole number, but is 1.5"),
        (lambda m: m.number("t"), "must be a number, but is 'two'"),
        (lambda m: m.flag("t"), "must be true or false, but is two"),
        (lambda m: m.text("m"), "must be a plain value, not a message"),
        (lambda m: m.message("x"), "must be a message in braces"),
    ],
)
def test_a_value_of_the_wrong_kind_is_named_with_its_line(read, said):
    root = parse("x: 1.5\nt: 'two'\nm { }", "f.config")
    with pytest.raises(ConfigError, match=r"f\.config: 1 problem") as error:
        read(root)
    (problem,) = error.value.problems
    assert problem.message == said
    assert problem.line == {"x": 1, "t": 2, "m": 3}[problem.where]


def test_the_last_of_several_values_counts():
    root = parse("a: 1 a: 2 m { b: 1 } m { b: 2 }")
    assert root.integer("a") == 2
    assert root.message("m").integer("b") == 2


def test_maps_of_both_notations():
    root = parse("m { key: 'a' value: 1 } m { key: 'b' value: 2 } o { x: 3 y: 4 }")
    assert {k: v.text for k, v in root.entries("m").items()} == {"a": "1", "b": "2"}
    assert {k: v.text for k, v in root.entries("o").items()} == {"x": "3", "y": "4"}


def test_what_is_reported_covers_all_below_it():
    root, report = parse("a { b { c: 1 } }\nd: 2\ne { f: 3 }"), Report()
    report.add("lost", root, "a", "why")
    root.message("e")
    report.finish(root)
    assert [(entry.kind, entry.path, entry.line) for entry in report.entries] == [
        ("lost", "a", 1),
        ("lost", "d", 2),
        ("lost", "e.f", 3),
    ]
