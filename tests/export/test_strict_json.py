import pytest

from easyrec.errors import BundleError
from easyrec.export.strict_json import MAX_DEPTH, dump, parse, read_json


def test_what_is_dumped_is_parsed():
    value = {"名": [1, -2.5, None, True, "é\n"], "b": {}}
    assert parse(dump(value), "x.json") == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"{", "Expecting"),
        (b'{"a": 1, "a": 2}', "key 'a' is given twice"),
        (b"[NaN]", "NaN is no number"),
        (b"[-Infinity]", "-Infinity is no number"),
        (b'"\xff"', "utf-8"),
        (b"[" * 100_000, "too deep"),
        (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "levels deep"),
        (b"1" * 10_000, "digits"),
    ],
    ids=["cut", "repeated-key", "nan", "infinity", "not-utf8", "bomb", "too-deep", "long-number"],
)
def test_other_json_is_refused(text, message):
    with pytest.raises(BundleError, match=message) as caught:
        parse(text, "x.json")
    assert "x.json" in str(caught.value)


def test_the_deepest_accepted_nesting():
    assert parse(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH, "x.json")


def test_a_file_over_the_limit_is_not_read(tmp_path):
    (tmp_path / "x.json").write_bytes(b"[1, 2, 3]")
    with pytest.raises(BundleError, match="more than the 5"):
        read_json(tmp_path / "x.json", max_bytes=5)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(BundleError, match=r"x\.json"):
        read_json(tmp_path / "x.json")


def test_a_number_that_json_cannot_write_is_not_written():
    with pytest.raises(ValueError, match="JSON compliant"):
        dump({"a": float("nan")})
