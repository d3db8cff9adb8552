"""Sources of files over S3: a server that speaks its protocol, on this machine."""

import json

import pytest

pytest.importorskip("s3fs", reason="needs s3fs")
server = pytest.importorskip("moto.server", reason="needs moto[s3], flask and flask-cors")

from easyrec.data.sources import jsonl  # noqa: E402
from easyrec.errors import DataError  # noqa: E402

ROWS = [{"id": i, "kv": {f"k{i % 3}": i / 4}} for i in range(200)]


@pytest.fixture(scope="module")
def options():
    """Options of a file system with the bucket `logs`, and rows in two files."""
    import s3fs

    started = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    started.start()
    host, port = started.get_host_and_port()
    found = {
        "key": "testing",
        "secret": "testing",
        "client_kwargs": {"endpoint_url": f"http://{host}:{port}"},
    }
    system = s3fs.S3FileSystem(**found)
    system.mkdir("logs")
    for name, part in (("a", ROWS[:120]), ("b", ROWS[120:])):
        system.pipe(f"logs/day/{name}.jsonl", "".join(json.dumps(row) + "\n" for row in part).encode())
    yield found
    started.stop()


@pytest.mark.parametrize(
    "path", ["s3://logs/day", "s3://logs/day/*.jsonl", ["s3://logs/day/a.jsonl", "s3://logs/day/b.jsonl"]]
)
def test_json_lines_are_read_in_ranges_from_an_object_store(options, path, monkeypatch):
    monkeypatch.setattr(jsonl, "UNIT_BYTES", 700)
    source = jsonl.Config(path=path, storage_options=options).open()
    units = source.units()
    assert len(units) > 5
    assert jsonl.Config(path=path, storage_options=options).open().units() == units
    read = [row for unit in units for batch in source.read(unit, ["kv", "id"]) for row in batch.to_pylist()]
    assert read == [{"kv": list(row["kv"].items()), "id": row["id"]} for row in ROWS]


def test_a_bad_line_of_an_object_is_named(options):
    import s3fs

    s3fs.S3FileSystem(**options).pipe("logs/bad.jsonl", b'{"id": 1}\n{"id": "x"}\n')
    source = jsonl.Config(path="s3://logs/bad.jsonl", storage_options=options).open()
    with pytest.raises(DataError, match=r's3://logs/bad.jsonl, line 2, column \'id\': "x" is no int64'):
        list(source.read(source.units()[0], ["id"]))
