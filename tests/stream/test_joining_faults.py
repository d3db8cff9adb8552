"""The joiner over logs in which everything is wrong that may be: its samples are those of the logs without that."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from easyrec.errors import DataError
from easyrec.store.definitions import load_store
from easyrec.stream.joining import Joining

NOON = 1_767_268_800
COLUMNS = {"id": "string", "request": "string", "item": "int64", "ts": "int64"}


def definitions(folder, malformed):
    def events(kind, **more):
        told = {
            "malformed": malformed,
            **({"dead_letters": f"{folder}/{kind}.bad"} if malformed == "dead_letters" else {}),
        }
        source = {"type": "jsonl", "path": f"{folder}/{kind}"}
        return {"source": source, "columns": COLUMNS, "event_time": "ts", "id": "id", "lateness": "1m", **told, **more}

    return load_store(
        {
            "project": "shop",
            "online": {"type": "memory"},
            "entities": [{"name": "user", "join_id": "user_id"}],
            "views": [{"name": "profile", "entity": "user", "fields": [{"name": "age", "type": "int64"}]}],
            "samples": [
                {
                    **{"name": "ctr", "keys": ["request", "item"], "exposures": events("shown")},
                    "labels": [events("clicked", name="click", window="10m")],
                    "output": {"type": "parquet", "path": f"{folder}/samples", "partition": "none"},
                    "state": {"type": "sqlite", "path": f"{folder}/state.db"},
                }
            ],
        }
    )


def logs():
    shown = [
        {"id": f"s{n}", "request": f"r{n // 4}", "item": n, "ts": NOON + 3 * n, "position": n % 4} for n in range(400)
    ]
    clicked = [{"id": f"c{n}", "request": f"r{n // 4}", "item": n, "ts": NOON + 3 * n + 40} for n in range(0, 400, 7)]
    return shown, clicked


def lines(events):
    return [json.dumps(event) for event in events]


def spoilt(events, rng):
    """Out of order within the lateness, some twice, poison among them, clocks a day ahead, and another schema from the middle on."""
    order = np.argsort(np.array([event["ts"] for event in events]) + rng.integers(0, 50, len(events)), kind="stable")
    made = [events[n] for n in order]
    half = len(made) // 2
    made[half:] = [{**{k: v for k, v in event.items() if k != "position"}, "new": {"a": [1]}} for event in made[half:]]
    text = lines(made)
    for place in sorted(rng.choice(len(text), 10, replace=False), reverse=True):
        text.insert(place + 1, text[place])
    poison = [
        "{",
        "[1]",
        "null",
        "\x00",
        '{"id": "x", "request": "r", "item": "seven", "ts": 1}',
        '{"id": "y", "item": 1}',
    ]
    poison += ['{"id": "z", "request": "r", "item": 1, "ts": 1767268800000}', '{"id": "w", "ts": "' + "9" * 1000 + '"}']
    for one in poison:
        text.insert(int(rng.integers(len(text))), one)
    ahead = {**events[0], "id": "ahead", "ts": 4_000_000_000}
    text.insert(half, json.dumps(ahead))
    return text, len(poison)


def samples(folder, shown, clicked, malformed="fail", parts=1):
    """The rows that are made of two logs, and what was counted."""
    for kind, text in (("shown", shown), ("clicked", clicked)):
        (folder / kind).mkdir(parents=True)
        for part, some in enumerate(np.array_split(np.array(text, object), parts)):
            (folder / kind / f"{part}.jsonl").write_text("".join(f"{line}\n" for line in some))
    joining = Joining(definitions(folder, malformed), "ctr", until_end=True)
    try:
        joining.run()
        joining.flush()
        counts = {f"{kind.name}.{name}": number for kind in joining.kinds for name, number in kind.counts.items()}
        counts |= joining.counts
    finally:
        joining.close()
    names = ["id", "request", "item", "ts", "click", "click_time"]
    return pq.read_table(folder / "samples").select(names).sort_by("id"), counts


@pytest.mark.parametrize("malformed", ["skip", "dead_letters"])
def test_samples_are_those_of_whole_logs(tmp_path, malformed):
    shown, clicked = logs()
    expected, _ = samples(tmp_path / "whole", lines(shown), lines(clicked))
    assert (expected.num_rows, sum(expected["click"].to_pylist())) == (400, len(clicked))
    rng = np.random.default_rng(5)
    (shown, bad), (clicked, _) = spoilt(shown, rng), spoilt(clicked, rng)
    found, counts = samples(tmp_path / "spoilt", shown, clicked, malformed, parts=3)
    assert found.equals(expected)
    for kind in ("exposure", "click"):
        told = [counts[f"{kind}.{name}"] for name in ("malformed", "duplicates", "ahead")]
        assert told == [bad, 10, 1]
    if malformed == "dead_letters":
        kept = [json.loads(line) for line in (tmp_path / "spoilt" / "shown.bad").read_text().splitlines()]
        assert len(kept) == bad
        assert all("jsonl, byte " in letter["place"] for letter in kept)


def test_poison_stops_it_where_that_is_said_and_nothing_of_it_counts(tmp_path):
    shown, clicked = logs()
    text = lines(shown)
    text.insert(100, "{")
    with pytest.raises(DataError, match=r"shown/0.jsonl, byte \d+: .*malformed: skip"):
        samples(tmp_path, text, lines(clicked))
    file = tmp_path / "shown" / "0.jsonl"
    file.write_text("".join(f"{line}\n" for line in lines(shown)))  # mended where it is wrong
    joining = Joining(definitions(tmp_path, "fail"), "ctr", until_end=True)
    joining.run()
    joining.flush()
    joining.close()
    assert pq.read_table(tmp_path / "samples").num_rows == 400
