import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from easyrec.convert.json_text import parse
from easyrec.errors import ConfigError

VALUES = st.one_of(st.text(max_size=5), st.integers(-1000, 1000), st.booleans(), st.floats(-1e6, 1e6))
TREES = st.dictionaries(
    st.text(max_size=5),
    st.recursive(
        st.one_of(VALUES, st.lists(VALUES, min_size=1, max_size=3)),
        lambda inner: st.one_of(
            st.dictionaries(st.text(max_size=5), inner, max_size=3),
            st.lists(st.dictionaries(st.text(max_size=5), inner, max_size=3), min_size=1, max_size=3),
        ),
        max_leaves=10,
    ),
    max_size=4,
)


@given(TREES, st.sampled_from([None, 1]), st.booleans())
def test_an_object_reads_back_as_plain_data(tree, indent, ascii_only):
    assert parse(json.dumps(tree, indent=indent, ensure_ascii=ascii_only)).plain() == tree


@given(st.text(alphabet='{}[]",:1a\\ \n-.e', max_size=25))
def test_it_takes_what_json_takes(text):
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        with pytest.raises(ConfigError):
            parse(text)
    else:
        said = ""
        try:
            parse(text)
        except ConfigError as error:
            said = str(error)
        assert not said or "array inside an array" in said


@pytest.mark.parametrize(
    ("text", "line", "column", "said"),
    [
        ('{\n "a": 1\n "b": 2}', 3, 2, "expected ',' or '}'"),
        ('{"a": 1,}', 1, 9, "nothing follows the ','"),
        ('{"a": [1, ]}', 1, 11, "nothing follows the ','"),
        ('{"a": [[1]]}', 1, 8, "an array inside an array has no meaning here"),
        ('{"a" 1}', 1, 6, "expected ':'"),
        ('{"a": x}', 1, 7, "expected a value"),
        ('{"a": "x}', 1, 7, "unterminated string starting at"),
        ('{"a": 1} 2', 1, 10, "expected the end of the file"),
        ("[1]", 1, 1, "must be an object in braces"),
    ],
)
def test_an_error_says_where(text, line, column, said):
    with pytest.raises(ConfigError) as error:
        parse(text, "fg.json")
    (problem,) = error.value.problems
    assert (problem.line, problem.where, problem.message) == (line, f"column {column}", said)


def test_null_is_absent_and_an_array_repeats():
    root = parse('{"a": null, "b": [1, null, 2], "c": []}')
    assert not root.has("a")
    assert root.integers("b") == [1, 2]
    assert root.texts("c") == []
