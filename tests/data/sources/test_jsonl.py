import bz2
import gzip
import json

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from easyrec.data.sources import _json_lines, jsonl
from easyrec.data.sources._types import parse_type, type_text
from easyrec.errors import DataError
from feature_generator import FeatureGenerator


@pytest.fixture
def write(tmp_path):
    def write(lines, name="data.jsonl", end="\n"):
        path = tmp_path / name
        lines = [line if isinstance(line, bytes) else line.encode() for line in lines]
        data = b"".join(line + end.encode() for line in lines)
        path.write_bytes({"gz": gzip.compress, "bz2": bz2.compress, "zst": zstd}.get(path.suffix[1:], bytes)(data))
        return str(path)

    return write


def zstd(data):
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return sink.getvalue().to_pybytes()


def read(source, columns=None):
    columns = columns or list(source.columns)
    return [row for u in source.units() for b in source.read(u, columns) for row in b.to_pylist()]


@pytest.mark.parametrize("name", ["data.jsonl", "data.jsonl.gz", "data.json.bz2", "data.ndjson.zst"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\n \r\n\n"], ids=["lf", "crlf", "blank-lines"])
def test_rows_are_read_whatever_the_compression_and_line_ends(write, name, end):
    rows = [{"a": 1, "b": 'x, "y"\n', "c": 0.5}, {"a": -2, "b": None, "c": 3.0}, {"a": None, "b": "é😀", "c": None}]
    lines = [json.dumps(rows[0]), '{"c": 3, "a": -2}', '{"b": "é\\ud83d\\ude00"}']
    assert read(jsonl.Config(path=write(lines, name, end)).open()) == rows


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["1", "-2", "null"], "int64"),
        (["1", "2.5"], "float64"),
        (["1e5", "NaN"], "float64"),
        (["true", "false"], "bool"),
        (['"2024-01-01"', '"1"'], "string"),
        (["null"], "string"),
        (["12345678901234567890"], "float64"),
        (["[1]", "[]", "[2.5, null]"], "list<float64>"),
        (["[]"], "list<string>"),
        (['{"a": 1}', '{"b": 2.5}'], "map<string, float64>"),
        (['{"a": "x"}', "{}"], "map<string, string>"),
        (['{"a": 1}', '{"b": "x"}'], "struct<a: int64, b: string>"),
        (['[{"a": 1}]', '[{"b": {"c": 2}}]'], "list<struct<a: int64, b: struct<c: int64>>>"),
        (["1", '"x"'], "int64"),
    ],
)
def test_types_are_inferred(write, values, expected):
    source = jsonl.Config(path=write([f'{{"x": {value}}}' for value in values])).open()
    assert type_text(source.columns["x"]) == expected


@pytest.mark.parametrize(
    "text",
    [
        "int32",
        "list<float32>",
        "map<string, float32>",
        "list<list<string>>",
        "struct<a: int64, b: list<struct<c: date>>>",
    ],
)
def test_types_are_written_as_they_are_read(text):
    assert type_text(parse_type(text)) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("strin", "unknown type 'strin'; did you mean 'string'"),
        ("list<int64", "unknown type"),
        ("list<int64, int64>", "is no list; write it like list<int64>"),
        ("map<int64, float32>", r"is no map; write it like map<string, float64>"),
        ("list<map<string, float32>>", "a map must be the whole column"),
        ("map<string, date>", "values of a map are"),
        ("struct<a: int64, a: int64>", "is no struct"),
        ("struct<int64>", "is no struct"),
    ],
)
def test_bad_types_are_refused(text, message):
    with pytest.raises(ValueError, match=message) as caught:
        jsonl.Config(path="x.jsonl", columns={"good": "int64", "bad": text})
    assert "'bad'" in str(caught.value)
    assert "'good'" not in caught.value.errors()[0]["msg"]


NESTED = [
    {"id": 1, "kv": {"b": 1.5, "a": 2}, "seq": [{"item": "x", "time": 1}], "day": "2024-02-29", "at": "2024-02-29T01:02:03Z"},
    {"id": 2, "kv": {}, "seq": [], "day": None, "at": None},
    {"id": 3, "kv": None, "seq": None},
    {"id": 4, "kv": {"c": None, "d": -1e-3}, "seq": [None, {"time": 5}], "day": "1969-12-31", "at": "1969-12-31 23:59:59.5"},
]  # fmt: skip
TYPES = {
    "id": "int32",
    "kv": "map<string, float32>",
    "seq": "list<struct<item: string, time: int64>>",
    "day": "date",
    "at": "timestamp",
}


@pytest.mark.parametrize("extra", [[], ["{"]], ids=["by-arrow", "line-by-line"])
def test_nested_values_become_lists_maps_and_structs(write, extra):
    path = write([json.dumps(row) for row in NESTED] + extra)
    source = jsonl.Config(path=path, columns=TYPES).open("skip")
    rows = read(source)
    assert [str(row["day"]) for row in rows] == ["2024-02-29", "None", "None", "1969-12-31"]
    assert [str(row["at"]) for row in rows] == ["2024-02-29 01:02:03", "None", "None", "1969-12-31 23:59:59.500000"]
    assert [row["kv"] for row in rows] == [
        [("a", 2.0), ("b", 1.5)], [], None, [("d", pytest.approx(-1e-3))],
    ]  # fmt: skip
    steps = [{"item": "x", "time": 1}], [], None, [None, {"item": None, "time": 5}]
    assert [row["seq"] for row in rows] == list(steps)
    assert source.columns["kv"] == pa.map_(pa.string(), pa.float32())
    assert source.columns["at"] == pa.timestamp("us")


def test_the_generator_takes_what_is_read(write):
    rows = [
        {"user": 5, "tags": ["a", "b"], "kv": {"x": 2.0, "y": 0.5}, "click": [{"item": 7, "cate": "p"}, {"item": 8, "cate": "q"}]},
        {"user": 6, "tags": [], "kv": {"y": 1}, "click": []},
    ]  # fmt: skip
    source = jsonl.Config(path=write([json.dumps(row) for row in rows])).open()
    generator = FeatureGenerator.load(
        {
            "features": [
                {"type": "id", "name": "user", "expression": "user:user", "num_buckets": 10},
                {"type": "id", "name": "tags", "expression": "item:tags", "hash_bucket_size": 100},
                {"type": "id", "name": "kv", "expression": "user:kv", "hash_bucket_size": 100, "weighted": True},
                {
                    "type": "sequence",
                    "name": "click",
                    "sequence_length": 5,
                    "features": [{"type": "id", "name": "item", "expression": "item:item", "num_buckets": 10}],
                },
            ]
        }
    )
    (batch,) = source.read(source.units()[0], ["user", "tags", "kv", "click"])
    table = generator.transform(batch)
    direct = generator.transform(rows)
    for name in ("user", "tags", "kv", "click__item"):
        assert table[name].values.tolist() == direct[name].values.tolist()
        assert table[name].lengths.tolist() == direct[name].lengths.tolist()
    assert table["click__item"].values.tolist() == [7, 8]
    assert table["kv"].weights.tolist() == [2.0, 0.5, 1.0]


BAD = ['{"a": 1, "b": "x"}', '{"a": "one", "b": "y"}', '{"a": 3, "b": "z"}', "", "{", '{"a": 6, "c": 0.5}', '{"a": 7}']


@pytest.mark.parametrize("name", ["data.jsonl", "data.jsonl.gz"])
@pytest.mark.parametrize(
    ("line", "message", "column"),
    [
        ('{"a": "one"}', '"one" is no int64', "a"),
        ('{"a": 1.5}', "1.5 is no int64; .*set `columns: {a: float64}`", "a"),
        ('{"a": 9223372036854775808}', "is no int64", "a"),
        ('{"a": 1, "nam": 2}', r"unknown column; did you mean 'name'\?; .*`columns: {nam: int64}`", "nam"),
        ('{"kv": {"x": "5"}}', r'"5" is no float64', "kv"),
        ('{"kv": [1]}', r"\[1\] is no map<string, float64>", "kv"),
        ('{"seq": [{"item": 1, "tme": 2}]}', r"unknown field 'tme'; did you mean 'time'", "seq"),
        ('{"seq": [{"item": "x"}]}', r'"x" is no int64', "seq"),
        ('{"name": "\\ud800"}', "half of a surrogate pair", "name"),
        ("null", "is no JSON object, but null", ""),
        ("5", "is no JSON object, but 5", ""),
        ("[1]", r"is no JSON object, but \[1\]", ""),
        ('{"a": 1', "is no JSON: .* at character 8", ""),
        ('{"a": 1} {"a": 2}', "is no JSON: Extra data", ""),
        ('{"a": 1} null', "is no JSON: Extra data", ""),
        ('{"a": 1}}\t{"": {"a": 1}', "is no JSON: Extra data", ""),
        ('{"a": 1, "a": 2}', "gives 'a' twice", ""),
        (b'{"name": "\xff"}', "is not UTF-8 text", ""),
    ],
)
def test_a_malformed_line_names_file_line_and_column(write, name, line, message, column):
    good = '{"a": 1, "name": "x", "kv": {"x": 1.5}, "seq": [{"item": 1, "time": 2}]}'
    types = {
        "a": "int64",
        "name": "string",
        "kv": "map<string, float64>",
        "seq": "list<struct<item: int64, time: int64>>",
    }
    path = write([good, "", good, line, good], name)
    sample = "first rows" in message or "columns" in message
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jsonl, "SAMPLE_BYTES", len(good) + 2)
        source = jsonl.Config(path=path, columns={} if sample else types).open()
    with pytest.raises(DataError, match=message) as caught:
        read(source)
    assert (caught.value.file, caught.value.line, caught.value.column) == (path, 4, column)


def test_malformed_lines_are_skipped_and_counted(write, monkeypatch):
    monkeypatch.setattr(jsonl, "SAMPLE_BYTES", 1)  # the first line
    source = jsonl.Config(path=write(BAD), columns={"a": "int64", "b": "string"}).open("skip")
    assert read(source) == [{"a": 1, "b": "x"}, {"a": 3, "b": "z"}, {"a": 7, "b": None}]
    unit = source.units()[0]
    assert source.dropped(unit) == {"no int64 in 'a'": 1, "is no JSON": 1, "an unknown column": 1}
    assert [source.locate(unit, row).line for row in range(3)] == [1, 3, 7]


def test_malformed_lines_are_mended(write, monkeypatch):
    monkeypatch.setattr(jsonl, "SAMPLE_BYTES", 1)  # the first line
    source = jsonl.Config(path=write(BAD), columns={"a": "int64", "b": "string"}).open("default")
    rows = [(1, "x"), (None, "y"), (3, "z"), (None, None), (6, None), (7, None)]
    assert [tuple(row.values()) for row in read(source)] == rows
    assert sum(source.dropped(source.units()[0]).values()) == 3


def test_a_column_that_nobody_reads_may_hold_anything(write):
    lines = ['{"a": 1, "m": {"x": [1]}}', '{"a": 2, "m": "x"}', '{"a": 3, "m": 5}']
    source = jsonl.Config(path=write(lines)).open()
    assert read(source, ["a"]) == [{"a": 1}, {"a": 2}, {"a": 3}]
    with pytest.raises(DataError, match="column 'm'"):
        read(source, ["m"])


def test_inferred_types_hold_for_all_files(write, tmp_path):
    write(['{"a": 1.5}'], "1.jsonl")
    write(['{"a": 2}'], "2.jsonl")
    source = jsonl.Config(path=str(tmp_path)).open()
    assert [b.schema.types for u in source.units() for b in source.read(u, ["a"])] == [[pa.float64()]] * 2


@pytest.mark.parametrize(("lines", "message"), [([], "is empty"), (["x"], "no line of its start is a JSON object")])
def test_files_that_tell_no_columns_ask_for_them(write, lines, message):
    path = write(lines)
    with pytest.raises(DataError, match=f"{message}; name the columns: `columns: {{item_id: int64}}`") as caught:
        jsonl.Config(path=path).open()
    assert caught.value.file == path
    assert jsonl.Config(path=path, columns={"a": "int64"}).open("skip").columns == {"a": pa.int64()}


def test_a_first_line_longer_than_the_sample_is_read(write, monkeypatch):
    monkeypatch.setattr(jsonl, "SAMPLE_BYTES", 10)
    assert read(jsonl.Config(path=write([json.dumps({"a": "x" * 100})])).open()) == [{"a": "x" * 100}]


def test_a_line_longer_than_a_block_of_the_parser_is_read(write):
    rows = [{"a": "x" * (3 << 20)}, {"a": "y"}]
    assert read(jsonl.Config(path=write([json.dumps(row) for row in rows])).open()) == rows


@pytest.mark.parametrize("keep", [0.3, 0.9])
def test_a_truncated_gz_is_named(write, keep):
    path = write([f'{{"a": {i * 7919 % 100_003}}}' for i in range(10_000)], "data.jsonl.gz")
    with open(path, "rb") as file:  # noqa: PTH123
        whole = file.read()
    with open(path, "wb") as file:  # noqa: PTH123
        file.write(whole[: int(len(whole) * keep)])
    with pytest.raises(DataError, match=r"data.jsonl.gz: cannot be read"):
        read(jsonl.Config(path=path, columns={"a": "int64"}).open())


KEYS = st.sampled_from(["a", "é", "2024-01-01", '"', "x y"])
ROWS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "n": st.none() | st.integers(-(1 << 63), (1 << 63) - 1),
            "f": st.none() | st.integers(-9, 9) | st.floats(allow_nan=False, allow_infinity=False),
            "s": st.none() | st.text(max_size=5).filter(lambda s: s.isprintable()),
            "kv": st.none() | st.dictionaries(KEYS, st.none() | st.integers(-9, 9) | st.floats(-5, 5)),
            "words": st.none() | st.dictionaries(KEYS, st.sampled_from(["2024-01-01", "2024-01-01T00:00:00Z", "w"])),
            "steps": st.none()
            | st.lists(st.fixed_dictionaries({"i": st.integers(0, 9), "t": st.text("ab", max_size=2)})),
        },
    ),
    max_size=20,
)
COLUMNS = {
    "n": "int64",
    "f": "float64",
    "s": "string",
    "kv": "map<string, float64>",
    "words": "map<string, string>",
    "steps": "list<struct<i: int64, t: string>>",
}


def plain(row):
    """The row as JSON's own reader gives it: maps sorted, without keys that have no value."""
    maps = {
        k: sorted((a, b) for a, b in row[k].items() if b is not None) for k in ("kv", "words") if row.get(k) is not None
    }
    return dict.fromkeys(COLUMNS) | row | maps


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=ROWS, unit_bytes=st.integers(1, 300), piece_bytes=st.integers(1, 300), escaped=st.booleans(), bad=st.booleans()
)
def test_units_of_any_size_hold_every_line_once(tmp_path, rows, unit_bytes, piece_bytes, escaped, bad):
    lines = [json.dumps(row, ensure_ascii=escaped) for row in rows]
    path = tmp_path / "x.jsonl"
    path.write_text("\n".join(lines + ["x"] * bad), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jsonl, "UNIT_BYTES", unit_bytes)
        patch.setattr(_json_lines, "PIECE_BYTES", piece_bytes)
        source = jsonl.Config(path=str(path), columns=COLUMNS).open("skip")
        assert read(source) == [plain(row) for row in rows]
        names = ["kv", "n"]  # other columns, in another order
        assert read(source, names) == [{name: plain(row)[name] for name in names} for row in rows]


def test_thousands_of_keys_take_bounded_memory(write):
    rows = [{"kv": {f"k{i * 7 + j}": j for j in range(7)}} for i in range(3_000)]
    source = jsonl.Config(path=write([json.dumps(row) for row in rows]), columns={"kv": "map<string, int32>"}).open()
    pool, before = pa.system_memory_pool(), pa.default_memory_pool()
    pa.set_memory_pool(pool)  # one that nobody used yet: its peak is that of this test
    try:
        (batch,) = source.read(source.units()[0], ["kv"])
    finally:
        pa.set_memory_pool(before)
    assert batch.column(0).type == pa.map_(pa.string(), pa.int32())
    assert batch.column(0)[2_999].as_py() == sorted(rows[-1]["kv"].items())
    assert pool.max_memory() < 200 << 20  # 3,000 x 21,000 cells would be 252 MB
