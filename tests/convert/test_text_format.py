import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from easyrec.convert.message import Message, Scalar
from easyrec.convert.text_format import parse
from easyrec.errors import ConfigError

NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,6}", fullmatch=True)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
SCALARS = st.one_of(
    st.tuples(st.just("text"), TEXTS),
    st.tuples(st.just("number"), st.integers(-(10**12), 10**12).map(str)),
    st.tuples(st.just("number"), st.floats(allow_nan=False, allow_infinity=False, width=32).map(repr)),
    st.tuples(st.just("word"), NAMES.filter(lambda name: name.lower() not in ("inf", "infinity", "nan"))),
)
TREES = st.recursive(
    st.lists(st.tuples(NAMES, SCALARS), max_size=4),
    lambda inner: st.lists(st.tuples(NAMES, st.one_of(SCALARS, inner)), max_size=4),
    max_leaves=25,
)


def shape(message):
    """A message as nested lists of (name, value)."""
    return [
        (f.name, shape(f.value) if isinstance(f.value, Message) else (f.value.kind, f.value.text))
        for f in message.fields
    ]


def quoted(text, draw):
    """A text between quotes, its characters as they are or escaped, in one piece or several."""
    pieces, quote = [[]], draw(st.sampled_from("\"'"))
    for char in text:
        if draw(st.booleans()) and draw(st.booleans()):
            pieces.append([])
        ways = ["".join(f"\\{b:03o}" for b in char.encode()), "".join(f"\\x{b:02x}" for b in char.encode())]
        ways += [f"\\u{ord(char):04x}"] if ord(char) < 0x10000 else [f"\\U{ord(char):08x}"]
        if char not in "\n\\\"'":
            ways.append(char)
        elif char in "\\\"'":
            ways.append("\\" + char)
        pieces[-1].append(draw(st.sampled_from(ways)))
    return draw(st.sampled_from(["", " ", "\n# and\n"])).join(f"{quote}{''.join(piece)}{quote}" for piece in pieces)


def rendered(tree, draw):
    """A tree in one of the many ways that the format allows."""
    lines = []
    for name, value in tree:
        if isinstance(value, list):
            opening, closing = draw(st.sampled_from([("{", "}"), ("<", ">")]))
            body = f"{opening}\n{rendered(value, draw)}{closing}"
            body = draw(st.sampled_from([body, f"[{body}]"]))
            line = name + draw(st.sampled_from([" ", ":", ": # why\n"])) + body
        else:
            kind, text = value
            body = quoted(text, draw) if kind == "text" else text
            line = name + draw(st.sampled_from([":", " : "])) + draw(st.sampled_from([body, f"[{body}]"]))
        lines.append(line + draw(st.sampled_from(["\n", " ", ";\n", ", "])))
    return "".join(lines)


@given(TREES, st.data())
def test_every_way_of_writing_a_message_reads_back_as_it(tree, data):
    text = rendered(tree, data.draw)
    assert shape(parse(text)) == tree


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1", [("a", ("number", "1"))]),
        ("a: -0x1F b: .5e-3f", [("a", ("number", "-0x1F")), ("b", ("number", ".5e-3f"))]),
        ("a: - inf", [("a", ("number", "-inf"))]),
        ("a: true", [("a", ("word", "true"))]),
        ("a: [1, 2]", [("a", ("number", "1")), ("a", ("number", "2"))]),
        ("a: []", []),
        ("a {} b: {} c <>", [("a", []), ("b", []), ("c", [])]),
        ("a [{b: 1}, <b: 2>]", [("a", [("b", ("number", "1"))]), ("a", [("b", ("number", "2"))])]),
        ("[x.y/z]: 1", [("[x.y/z]", ("number", "1"))]),
        ("a: 'x' # no\n\"y\"", [("a", ("text", "xy"))]),
        (r"a: '\x1d\035\t\?\"'", [("a", ("text", '\x1d\x1d\t?"'))]),
        (r"a: '\344\270\255'", [("a", ("text", "中"))]),
        ("a: 1;b: 2,c: 3", [("a", ("number", "1")), ("b", ("number", "2")), ("c", ("number", "3"))]),
        ("", []),
    ],
)
def test_values(text, expected):
    assert shape(parse(text)) == expected


@pytest.mark.parametrize(
    ("text", "line", "column", "said"),
    [
        ("a {\n  b: 1\n", 3, 1, "expected a field's name or '}', but found the end of the file"),
        ("a 1", 1, 3, "expected ':' or '{' after 'a', but found '1'"),
        ("a: 1 }", 1, 6, "expected a field's name, but found '}'"),
        ("x: 1\na: 'open\nb: 1", 2, 4, "the text has no closing quote"),
        ("a: [1 2]", 1, 7, "expected ',' or ']', but found '2'"),
        ("a: [1,]", 1, 7, "expected a value, but found ']'"),
        ("a: -b", 1, 5, "expected a value, but found 'b'"),
        ("a: '\\q'", 1, 5, "unknown escape \\q"),
        ("a: '\\377'", 1, 4, "the text is not UTF-8"),
        ("a: '\\ud800'", 1, 5, "\\ud800 is no character"),
        ("a: @", 1, 4, "the character '@' has no meaning here"),
        ("a" + "{a" * 70, 1, 131, "messages are nested more than 64 levels deep"),
    ],
)
def test_an_error_says_where_and_what_was_expected(text, line, column, said):
    with pytest.raises(ConfigError) as error:
        parse(text, "pipe.config")
    (problem,) = error.value.problems
    assert (problem.line, problem.where, problem.message, problem.file) == (
        line,
        f"column {column}",
        said,
        "pipe.config",
    )


def test_fields_know_their_lines_and_paths():
    root = parse("a { b: 1 }\na {\n  b { c: 2 }\n}\nd { e: 3 }")
    assert [path for path, _ in root.unread()] == ["a[0]", "a[1]", "d"]
    for message in root.messages("a"):
        message.values("b")
    root.messages("d")
    assert list(root.unread()) == [("a[1].b.c", 3), ("d.e", 5)]


@given(st.text(alphabet="a:{}<>[]'\"\\,;-.#\n1x ", max_size=30))
def test_any_text_is_a_message_or_an_error_with_a_line(text):
    try:
        parse(text)
        problems = ()
    except ConfigError as error:
        problems = error.problems
    assert all(problem.line for problem in problems)


def test_a_large_config_takes_time_linear_in_its_length():
    text = "feature_configs { id_feature { feature_name: 'a' hash_bucket_size: 1 } }\n" * 5000
    root = parse(text)
    assert len(root.fields) == 5000
    assert root.fields[-1].line == 5000
    assert isinstance(root.fields[0].value, Message)
    inner = root.fields[4999].value
    assert inner.path == "feature_configs[4999]"
    assert isinstance(inner.fields[0].value.fields[0].value, Scalar)
    assert re.fullmatch(r"feature_configs\[4999\]\.id_feature", inner.fields[0].value.path)
