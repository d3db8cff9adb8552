import bz2
import gzip

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from easyrec.data.sources import csv
from easyrec.errors import ConfigError, DataError


@pytest.fixture
def write(tmp_path):
    def write(text, name="data.csv"):
        path = tmp_path / name
        data = text if isinstance(text, bytes) else text.encode()
        path.write_bytes({"gz": gzip.compress, "bz2": bz2.compress}.get(path.suffix[1:], bytes)(data))
        return str(path)

    return write


def read(source, columns=None):
    columns = columns or list(source.columns)
    return [row for u in source.units() for b in source.read(u, columns) for row in b.to_pylist()]


@pytest.mark.parametrize("name", ["data.csv", "data.csv.gz", "data.csv.bz2"])
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["lf", "crlf"])
def test_rows_are_read_whatever_the_compression_and_line_ends(write, name, end):
    text = end.join(["a,b,c", '1,"x, y",0.5', "2,,1e3", "-3,é,"]) + end
    rows = [{"a": 1, "b": "x, y", "c": 0.5}, {"a": 2, "b": None, "c": 1000.0}, {"a": -3, "b": "é", "c": None}]
    assert read(csv.Config(path=write(text, name)).open()) == rows


def test_a_file_without_header_takes_its_names_from_the_config(write):
    source = csv.Config(path=write("1\tx\n2\ty"), columns=["n", "s"], separator="\\t").open()
    assert read(source) == [{"n": 1, "s": "x"}, {"n": 2, "s": "y"}]


def test_ranges_of_names_count_up(write):
    config = csv.Config(path=write("1,2,3,4"), columns=["y", "I1 .. I2", "C01 .. C01"])
    assert list(config.open().columns) == ["y", "I1", "I2", "C01"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["1", "-2", "0"], pa.int64()),
        (["1", "2.5", ""], pa.float64()),
        (["1e5", "inf", "nan"], pa.float64()),
        (["007", "12"], pa.string()),
        (["1", "x"], pa.string()),
        (["", "NULL"], pa.string()),
        (["12345678901234567890"], pa.float64()),
        (["2024-01-01"], pa.string()),
    ],
    ids=["whole", "decimal", "special", "leading-zero", "word", "all-null", "beyond-int64", "date"],
)
def test_types_are_inferred(write, values, expected):
    source = csv.Config(path=write("k,x\n" + "".join(f"k,{value}\n" for value in values))).open()
    assert source.columns["x"] == expected


def test_types_of_the_config_win(write):
    text = "a,b,c\n1,2,2024-05-01\n"
    source = csv.Config(path=write(text), types={"a": "string", "b": "float32", "c": "timestamp"}).open()
    assert source.columns == {"a": pa.string(), "b": pa.float32(), "c": pa.timestamp("us")}
    assert read(source, ["a", "b"]) == [{"a": "1", "b": 2.0}]


def test_types_stay_those_of_the_first_file(write, tmp_path):
    write("a\n1.5\n", "1.csv")
    write("a\n2\n", "2.csv")
    source = csv.Config(path=str(tmp_path)).open()
    assert [b.schema.types for u in source.units() for b in source.read(u, ["a"])] == [[pa.float64()]] * 2


def test_null_tokens_are_missing_values(write):
    source = csv.Config(path=write("a,b\n1,x\nNULL,\\N\n-,-\n"), null_values=["NULL", "\\N", "-"]).open()
    assert read(source) == [{"a": 1, "b": "x"}, {"a": None, "b": None}, {"a": None, "b": None}]


RAGGED = "a,b\n1,2\n3\n4,5,6\n\n7,8\n"


@pytest.mark.parametrize("name", ["data.csv", "data.csv.gz"])
def test_a_ragged_line_fails_with_file_and_line(write, name):
    path = write(RAGGED, name)
    with pytest.raises(DataError, match=r"line 3: has 1 values, but there are 2 columns") as caught:
        read(csv.Config(path=path).open("fail"))
    assert (caught.value.file, caught.value.line) == (path, 3)


def test_ragged_lines_are_skipped_and_counted(write):
    source = csv.Config(path=write(RAGGED)).open("skip")
    assert read(source) == [{"a": 1, "b": 2}, {"a": 7, "b": 8}]
    assert source.dropped(source.units()[0]) == {"too few values": 1, "too many values": 1}
    assert source.locate(source.units()[0], 1).line == 6


def test_a_row_is_located_while_its_unit_is_being_read(write):
    source = csv.Config(path=write(RAGGED)).open("skip")
    rows = source.read(source.units()[0], ["a"])
    assert next(rows).num_rows == 2
    assert source.locate(source.units()[0], 1).line == 6


def test_ragged_lines_are_filled_and_cut(write):
    source = csv.Config(path=write(RAGGED)).open("default")
    assert read(source) == [{"a": 1, "b": 2}, {"a": 3, "b": None}, {"a": 4, "b": 5}, {"a": 7, "b": 8}]
    assert sum(source.dropped(source.units()[0]).values()) == 2


def wrong_type(policy, write, monkeypatch):
    monkeypatch.setattr(csv, "SAMPLE_BYTES", 20)
    return csv.Config(path=write("a,b\n1,2\n3,4\n5,6\n7,8\n9,x\n0,1\n")).open(policy)


def test_a_value_of_another_type_names_line_and_column_and_the_way_out(write, monkeypatch):
    with pytest.raises(DataError, match=r"line 6, column 'b': 'x' is no int64; .*types: \{b: string\}"):
        read(wrong_type("fail", write, monkeypatch))


@pytest.mark.parametrize(
    ("policy", "expected"), [("skip", [2, 4, 6, 8, 1]), ("default", [2, 4, 6, 8, None, 1])], ids=["skip", "default"]
)
def test_a_value_of_another_type_is_skipped_or_missing(write, monkeypatch, policy, expected):
    source = wrong_type(policy, write, monkeypatch)
    assert [row["b"] for row in read(source)] == expected
    assert source.dropped(source.units()[0]) == {"no int64 in 'b'": 1}


def test_a_column_that_nobody_reads_may_hold_anything(write, monkeypatch):
    assert len(read(wrong_type("fail", write, monkeypatch), ["a"])) == 6


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty, but should start with a header line"),
        ("a,,b\n1,2,3\n", "the header has no name for column 2"),
        ("a,b,a\n1,2,3\n", "the header gives 'a' twice"),
        (b"\xff\xfe,b\n1,2\n", "is not UTF-8 text"),
    ],
    ids=["empty", "no-name", "twice", "not-utf8"],
)
def test_a_bad_header_is_a_data_error(write, text, message):
    with pytest.raises(DataError, match=message):
        csv.Config(path=write(text)).open()


def test_files_with_different_headers_are_named(write, tmp_path):
    write("a,b\n1,2\n", "1.csv")
    write("b,a\n1,2\n", "2.csv")
    with pytest.raises(DataError, match=r"2.csv, line 1: has the header b, a\nbut .*1.csv has a, b"):
        csv.Config(path=str(tmp_path)).open()


def test_text_that_is_not_utf8_names_its_line(write):
    with pytest.raises(DataError, match=r"line 3: is not UTF-8 text"):
        read(csv.Config(path=write(b"a,b\nx,y\n\xff\xfe,z\n")).open())


@pytest.mark.parametrize("keep", [0.3, 0.9])
def test_a_truncated_gz_is_named(write, keep):
    path = write("a\n" + "\n".join(str(i * 7919 % 100_003) for i in range(10_000)), "data.csv.gz")
    with open(path, "rb") as file:  # noqa: PTH123
        whole = file.read()
    with open(path, "wb") as file:  # noqa: PTH123
        file.write(whole[: int(len(whole) * keep)])
    with pytest.raises(DataError, match=r"data.csv.gz: cannot be read"):
        read(csv.Config(path=path).open())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"separator": "||"}, "must be one character"),
        ({"columns": ["a", "a"]}, "named twice: a"),
        ({"columns": ["a_3 .. a_1"]}, "is no range"),
        ({"types": {"a": "decimal"}}, "types.a"),
    ],
    ids=["separator", "columns", "range", "types"],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        csv.Config(path="x.csv", **settings)


def test_types_of_absent_columns_are_refused(write):
    with pytest.raises(ConfigError, match="no column 'prise'; did you mean 'price'"):
        csv.Config(path=write("price\n1\n"), types={"prise": "int64"}).open()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lines=st.lists(st.text('ab,"é ', max_size=12).filter(lambda s: s.count('"') == 0), min_size=0, max_size=30),
    unit_bytes=st.integers(1, 60),
    last=st.sampled_from(["", "\n"]),
)
def test_units_of_any_size_hold_every_line_once(tmp_path, lines, unit_bytes, last):
    path = tmp_path / "x.csv"
    path.write_bytes(("\n".join(lines) + last).encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv, "UNIT_BYTES", unit_bytes)
        source = csv.Config(path=str(path), columns=["all"], separator="\x01", null_values=["<null>"]).open()
    assert [row["all"] for row in read(source)] == [line for line in lines if line]
