"""`easyrec stream run` from the command line: to the end, until it is told to stop, and what it tells."""

import json
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from easyrec.cli import main
from easyrec.stream.figures import FiguresServer, as_text

ROOT = Path(__file__).parents[1]
T0 = 1_700_000_100
CONFIG = """\
project: shop
online: {type: sqlite, path: online.db}
entities:
  - {name: user, join_id: user_id}
views:
  - name: clicks
    type: stream
    entity: user
    ttl: 30000d
    stream:
      source: {type: jsonl, path: events}
      columns: {user_id: int64, ts: int64}
      event_time: ts
      aggregates:
        - {name: clicks, function: count}
models:
  - {name: ctr, features: [{view: clicks}]}
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "store.yaml").write_text(CONFIG)
    (tmp_path / "events").mkdir()
    lines = [json.dumps({"user_id": i % 3, "ts": T0 + i}) for i in range(30)]
    (tmp_path / "events" / "1.jsonl").write_text("".join(f"{line}\n" for line in lines))
    return tmp_path


def stream(*words):
    return main(["stream", "run", "-c", "store.yaml", *words])


def test_events_are_counted_to_the_end_and_read(here, capsys):
    assert stream("clicks", "--until", "end") == 0
    shown = capsys.readouterr().out
    assert re.search(r"clicks +30 +30 +0 +0 +0 +0 +0 +3 +0 +0", shown), shown
    assert stream("--until", "end", "--json") == 0  # again: nothing counts twice
    told = json.loads(capsys.readouterr().out)
    assert told["views"]["clicks"]["counted"] == 30
    assert main(["store", "read", "-c", "store.yaml", "ctr", "user_id=1,9", "--json"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["clicks"] for row in found] == [10, None]
    assert main(["store", "show", "-c", "store.yaml"]) == 0


@pytest.mark.parametrize(
    ("change", "words", "code", "message"),
    [
        ((), ["clicks", "nobody"], 2, "unknown view 'nobody'"),
        ((), ["--metrics", "9400"], 2, "--metrics takes HOST:PORT"),
        (("path: events", "path: nowhere"), [], 3, "nowhere: there is no such file"),
        (("event_time: ts", "event_time: tz"), [], 2, "line 13"),
    ],
)
def test_what_is_wrong_is_told(here, capsys, change, words, code, message):
    if change:
        (here / "store.yaml").write_text(CONFIG.replace(*change))
    assert stream(*words, "--until", "end") == code
    assert message in capsys.readouterr().err


def test_it_ends_when_it_is_told_to_and_nothing_is_lost(here, redis_servers):
    import redis

    server = redis_servers()
    source = f"{{type: redis, url: '{server.address}', stream: s, field: data}}"
    (here / "store.yaml").write_text(CONFIG.replace("{type: jsonl, path: events}", source))
    command = [sys.executable, "-m", "easyrec", "stream", "run", "-c", "store.yaml", "--metrics", "127.0.0.1:0"]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
    with (
        redis.Redis.from_url(server.address) as client,
        subprocess.Popen(
            [*command, "--every", "0.1", "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        ) as process,
    ):
        try:
            address = process.stderr.readline().split()[-1]
            client.xadd("s", {"data": json.dumps({"user_id": 7, "ts": int(time.time())})})
            end, text = time.monotonic() + 60, ""
            while 'easyrec_stream_rows_written_total{view="clicks"} 1' not in text:
                assert time.monotonic() < end, text
                with urllib.request.urlopen(address) as answer:
                    text = answer.read().decode()
                time.sleep(0.02)
            assert 'easyrec_stream_backlog_events{view="clicks"} 0' in text
            process.send_signal(signal.SIGTERM)
            out, told = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 0
    assert json.loads(out)["views"]["clicks"]["rows_written"] == 1
    assert re.search(r"events/s; clicks: \d+ counted, 0 rows wait", told)


def test_figures_are_what_prometheus_and_json_readers_take():
    figures = {"a": {"read": 5, "backlog_rows": 2.5}, "b": {"rows_dropped": 1}}
    text = as_text(figures)
    for line in text.splitlines():
        assert re.fullmatch(r'# (HELP|TYPE) \w+ .+|easyrec_stream_\w+\{view="\w+"\} [0-9.e+-]+', line), line
    assert 'easyrec_stream_read_total{view="a"} 5\neasyrec_stream_read_total{view="b"} 0\n' in text
    assert 'easyrec_stream_backlog_rows{view="a"} 2.5\n' in text
    assert 'backlog_rows{view="b"}' not in text
    server = FiguresServer("127.0.0.1", 0, lambda: figures)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics.json") as answer:
            assert json.load(answer) == figures
        with pytest.raises(urllib.error.HTTPError, match="404") as refused:
            urllib.request.urlopen(f"http://127.0.0.1:{server.port}/other")
        refused.value.close()
    finally:
        server.close()


def sql(*words):
    return main(["stream", "sql", "-c", "store.yaml", "clicks", *words])


def test_a_query_that_runs_for_ever_is_said(here, capsys):
    assert sql("--dialect", "flink", "--continuous", "--every", "1h") == 0
    shown = capsys.readouterr().out
    assert "WATERMARK FOR" in shown
    assert "3599999999" in shown, "the rows are those of the ends of hours"
    assert sql("--dialect", "spark", "--continuous", "--table", "events=shop.log") == 0
    compile(capsys.readouterr().out, "clicks.py", "exec")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--continuous"], "'duckdb' has no queries that run for ever; known: flink, spark"),
        (["--dialect", "spark", "--continuous", "--at", "2026-01-01"], "goes with neither --every nor --continuous"),
        (["--continuous", "--output", "a.parquet"], "--output is for what ends"),
        (["--every", "soon"], "--every takes a span of time such as 1m: must be seconds, or a number"),
    ],
    ids=["engine", "moment", "output", "span"],
)
def test_what_a_query_cannot_be_asked_is_told(here, capsys, words, told):
    assert sql(*words) != 0
    assert told in capsys.readouterr().err
