"""The analysis of logs: its sums against a count line by line, its checks, its commands and its page."""

import collections
import json
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from easyrec.cli import main
from easyrec.errors import ConfigError, DataError
from serving.ab import Experiments, load_experiments
from serving.ab.analysis import Asked, analyse
from serving.ab.log import Log

DAY = 86_400_000
START = 1_772_323_200_000
METRICS = [
    {"name": "ctr", "of": "click", "per": "exposures"},
    {"name": "clicks", "of": "click", "cap": 9},
    {"name": "buyers", "of": "conversion", "sum": "any"},
    {"name": "revenue", "of": "conversion", "sum": "value"},
    {"name": "cvr", "of": "conversion", "per": "click"},
    {"name": "requests", "of": "requests"},
]


def config(**keys):
    variants = [{"name": "a"}, {"name": "b", "parameters": {"size": 5}}]
    experiment = {"name": "deep", "start": "2026-03-01", "variants": variants, **keys}
    return {"layers": [{"name": "ranking", "experiments": [experiment]}], "metrics": METRICS}


def assigned(told, users):
    return Experiments.load(told).assign_many([f"u{i}" for i in range(users)])["ranking"].to_pylist()


def by_metric(found):
    return {(one["metric"], one["variant"]): one for one in found["metrics"]}


def test_sums_are_those_of_a_count_line_by_line(world):
    told = config()
    names = assigned(told, 150)
    made = world(users=150)
    exposures, events = made.write(names)
    (found,) = analyse(load_experiments(told), Log([made.folder], "user_id"), Asked(cuped=False))
    units = collections.defaultdict(collections.Counter)
    variants, first, pairs = {}, {}, set()
    for line in exposures:
        if line["experiments"]:
            user = line["user_id"]
            variants[user] = line["experiments"]["ranking"].partition("/")[2]
            first[user] = min(first.get(user, line["time"]), line["time"])
            units[user]["exposures"] += 1
            pairs.add((line["request_id"], line["item_id"]))
            units[user]["requests", line["request_id"]] = 1
    for line in events:
        user = line["user_id"]
        if (line["request_id"], line["item_id"]) in pairs:
            units[user][f"{line['type']} shown"] += 1
        if user in first and line["time"] >= first[user]:
            units[user][line["type"]] += 1
            units[user][f"{line['type']} value"] += line.get("value", 0.0)
    got = by_metric(found)
    for variant in ("a", "b"):
        mine = [units[user] for user, name in variants.items() if name == variant]
        total = lambda key, mine=mine: sum(one[key] for one in mine)  # noqa: E731
        expected = {
            "ctr": total("click shown") / total("exposures"),
            "clicks": np.mean([min(one["click"], 9) for one in mine]),
            "buyers": np.mean([one["conversion"] > 0 for one in mine]),
            "revenue": total("conversion value") / len(mine),
            "cvr": total("conversion shown") / total("click shown"),
            "requests": np.mean([sum(isinstance(key, tuple) for key in one) for one in mine]),
        }
        for metric, value in expected.items():
            assert got[metric, variant]["mean"] == pytest.approx(value), metric
            assert got[metric, variant]["units"] == len(mine)
    assert not found["sample"]["mismatch"]
    assert [one["units"] for one in found["sample"]["variants"]] == [
        sum(v == n for v in variants.values()) for n in "ab"
    ]
    assert len(found["ends"]) == 24
    assert got["ctr", "b"]["course"][-1]["lift"] == pytest.approx(got["ctr", "b"]["lift"])
    plain = got["ctr", "b"]
    assert plain["p_corrected"] >= plain["p"]


def test_a_planted_lift_is_found_and_what_was_before_makes_it_surer(world):
    told = config()
    made = world(users=700, lift=0.4)
    made.write(assigned(told, 700))
    loaded, log = load_experiments(told), Log([made.folder], "user_id")
    (with_it,) = analyse(loaded, log, Asked(), metrics=["ctr"])
    (without,) = analyse(loaded, log, Asked(cuped=False), metrics=["ctr"])
    surer, plain = (by_metric(one)["ctr", "b"] for one in (with_it, without))
    assert surer["p"] < 0.001
    assert surer["lift_low"] < 0.4 < surer["lift_high"]
    assert surer["sequential_low"] < surer["lift_low"] < surer["lift_high"] < surer["sequential_high"]
    assert surer["variance_kept"] < 0.8
    assert plain["variance_kept"] == 1.0
    assert surer["lift_high"] - surer["lift_low"] < plain["lift_high"] - plain["lift_low"]
    seen = sum(one["units"] for one in with_it["sample"]["variants"])
    assert surer["needed"] == pytest.approx(seen * (surer["detectable"] / 0.02) ** 2, abs=1)


def lines(folder, name, rows):
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def shown(user, variant, time=START, request="r1", item=1, **more):
    known = {"ranking": f"deep/{variant}"} if variant else {}
    return {
        "event_id": f"{request}/{user}/{item}",
        "request_id": f"{request}{user}",
        "user_id": user,
        "item_id": item,
        "time": time,
        "experiments": known,
        **more,
    }


def clicked(user, time=START + 1, request="r1", item=1, number=0, kind="click", **more):
    return {
        "event_id": f"e{user}{number}",
        "type": kind,
        "request_id": f"{request}{user}",
        "user_id": user,
        "item_id": item,
        "time": time,
        **more,
    }


def test_units_that_say_nothing_are_left_out_and_counted(tmp_path):
    told = config(end="2026-03-03")
    told["layers"][0]["experiments"][0]["variants"][0]["white_list"] = ["vip"]
    rows = [shown(f"a{i}", "a") for i in range(5)] + [shown(f"b{i}", "b") for i in range(5)]
    rows += [shown("vip", "a"), shown("both", "a"), shown("both", "b", request="r2"), shown("old", "c")]
    rows += [shown("early", "a", START - 1), shown("late", "b", START + 2 * DAY), shown("other", None)]
    rows += [shown(None, "a"), rows[0]]
    events = [
        clicked("a0"), clicked("a0"),  # the same event twice
        clicked("a1", number=1), clicked("a1", number=2, item=9),  # an item that was not shown
        clicked("a2", START - 5, number=1, request="none"),  # before it was in
        clicked("b0", START + 2 * DAY),  # after the end
        clicked("b1", number=1, request=None), clicked("vip"), clicked("both"),
    ]  # fmt: skip
    lines(tmp_path, "exposures-1", rows)
    lines(tmp_path, "events-1", events)
    (tmp_path / "exposures-2.jsonl.part").write_text("{")  # still written to
    (found,) = analyse(load_experiments(told), Log([tmp_path], "user_id"), Asked())
    sample = found["sample"]
    assert [one["units"] for one in sample["variants"]] == [5, 5]
    assert (sample["listed"], sample["crossed"], sample["strange"]) == (1, 1, 1)
    got = by_metric(found)
    assert got["ctr", "a"]["mean"] == pytest.approx(2 / 5)
    assert got["clicks", "a"]["mean"] == pytest.approx(3 / 5)
    assert got["ctr", "b"]["mean"] == 0.0
    assert got["clicks", "b"]["mean"] == pytest.approx(1 / 5)
    assert any("not to be relied on" in note for note in found["notes"])
    assert any("does not know" in note for note in found["notes"])


def test_a_mismatch_of_the_split_is_flagged(tmp_path):
    variants = [{"name": "a", "weight": 2}, {"name": "b"}]
    rows = [shown(f"{name}{i}", name) for name, count in (("a", 1200), ("b", 750)) for i in range(count)]
    lines(tmp_path, "exposures-1", rows)
    log = Log([tmp_path], "user_id")
    (found,) = analyse(load_experiments(config(variants=variants)), log, Asked())
    assert found["sample"]["mismatch"]
    assert "no other number here can be believed" in found["notes"][0]
    variants[1]["weight"] = 1.25
    (found,) = analyse(load_experiments(config(variants=variants)), log, Asked())
    assert not found["sample"]["mismatch"]
    assert found["sample"]["variants"][0]["expected"] == pytest.approx(1200)


def test_segments_are_as_units_were_when_first_seen_and_are_corrected(tmp_path):
    rows, events = [], []
    for i in range(400):
        name, country = "ab"[i % 2], ["NO", "SE"][i // 2 % 2]
        features = {"user": {"country": country}}
        rows.append(shown(f"u{i}", name, features=features))
        rows.append(shown(f"u{i}", name, START + 9, request="r2", features={"user": {"country": "XX"}}))
        if i % 8 in (0, 1, 2, 3, 7):  # in Norway as many click of both, in Sweden twice as many of b
            events.append(clicked(f"u{i}"))
    lines(tmp_path, "exposures-1", rows)
    lines(tmp_path, "events-1", events)
    log = Log([tmp_path], "user_id")
    (found,) = analyse(load_experiments(config()), log, Asked(segments=["country"]), metrics=["clicks"])
    got = {one["value"]: one for one in found["segments"]}
    assert set(got) == {"NO", "SE"}
    assert got["NO"]["units"] == 200
    assert got["NO"]["lift"] == pytest.approx(0.0)
    assert got["SE"]["lift"] == pytest.approx(1.0)
    assert got["NO"]["p_corrected"] == pytest.approx(1.0)
    assert got["SE"]["p_corrected"] == pytest.approx(2 * got["SE"]["p"])
    with pytest.raises(ConfigError, match=r"no exposure has a 'contry'.*known: "):
        analyse(load_experiments(config()), log, Asked(segments=["contry"]))


def test_parquet_logs_say_the_same_as_lines(world, tmp_path):
    told = config()
    made = world(users=100)
    exposures, events = made.write(assigned(told, 100))
    kept = tmp_path / "kept"
    kept.mkdir()
    kind = pa.map_(pa.string(), pa.string())
    table = pa.Table.from_pylist([{**line, "experiments": list(line["experiments"].items())} for line in exposures], schema=pa.schema(
        [("event_id", pa.string()), ("request_id", pa.string()), ("user_id", pa.string()), ("item_id", pa.int64()), ("time", pa.timestamp("ms")), ("experiments", kind),
         ("features", pa.struct([("user", pa.struct([("country", pa.string())]))]))]))  # fmt: skip
    pq.write_table(table, kept / "exposures-1.parquet")
    pq.write_table(pa.Table.from_pylist([{"value": None, **line} for line in events]), kept / "events-1.parquet")
    loaded = load_experiments(told)
    asked = Asked(segments=["country"])
    one, two = (analyse(loaded, Log([place], "user_id"), asked) for place in (made.folder, kept))
    assert json.dumps(one) == json.dumps(two)


def test_covariates_of_a_file_take_the_place_of_the_log(world, tmp_path):
    told = config()
    made = world(users=400, before=0)
    _, events = made.write(assigned(told, 400))
    counts = collections.Counter(line["user_id"] for line in events if line["type"] == "click")
    known = pa.table({"user_id": [f"u{i}" for i in range(300)], "taste": [float(counts[f"u{i}"]) for i in range(300)]})
    pq.write_table(known, tmp_path / "known.parquet")
    log = Log([made.folder], "user_id")
    (found,) = analyse(
        load_experiments(told), log, Asked(covariates=str(tmp_path / "known.parquet")), metrics=["clicks"]
    )
    assert by_metric(found)["clicks", "b"]["variance_kept"] < 0.85
    pq.write_table(pa.concat_tables([known, known]), tmp_path / "twice.parquet")
    pq.write_table(pa.table({"user": ["u1"]}), tmp_path / "none.parquet")
    for name, message in (("twice", "units twice"), ("none", "no column 'user_id'; did you mean 'user'")):
        with pytest.raises(DataError, match=message):
            analyse(load_experiments(told), log, Asked(covariates=str(tmp_path / f"{name}.parquet")))


def test_logs_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(ConfigError, match="there is no log"):
        Log([tmp_path / "no"], "user_id")
    with pytest.raises(DataError, match="no exposures-"):
        Log([tmp_path], "user_id")
    lines(tmp_path, "exposures-1", [shown("u1", "a")])
    with pytest.raises(DataError, match="no exposure has a 'device'"):
        Log([tmp_path], "device")
    lines(tmp_path, "exposures-1", [shown("u1", None) | {"experiments": {"ranking": "other/a"}}])
    log = Log([tmp_path], "user_id")
    with pytest.raises(DataError, match="of these experiments: deep\nit has: ranking/other"):
        analyse(load_experiments(config()), log, Asked())
    (tmp_path / "exposures-2.jsonl").write_text('{"event_id": "x", "time": "noon"\n')
    with pytest.raises(DataError, match="the log cannot be read"):
        Log([tmp_path], "user_id")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told = config()
    (tmp_path / "experiments.yaml").write_text(json.dumps(told))
    (tmp_path / "engine.yaml").write_text("scenes: []\nrecord: {path: logs}\nexperiments: experiments.yaml\n")
    return tmp_path


def ab(*words):
    return main(["engine", "ab", *words])


def test_the_command_analyses_and_writes_a_page(here, capsys, world):
    world(users=250).write(assigned(config(), 250))
    assert ab("analyse", "-c", "engine.yaml", "--segment", "country", "--html", "page.html") == 0
    out = capsys.readouterr().out
    assert re.search(r"ranking / deep: a \d+, b \d+; the split", out)
    assert "the split is as it should be" in out
    page = (here / "page.html").read_text()
    assert "script" not in page
    assert not re.search(r"https?://(?!www\.w3\.org)", page)
    for text in ("deep", "Split", "Metrics", "Course", "revenue by country", "Sample"):
        assert text in page
    assert ab("analyse", "-c", "experiments.yaml", "--log", "logs", "--json", "--metric", "ctr") == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert [one["variant"] for one in found["metrics"]] == ["a", "b"]


def test_the_command_stops_starts_and_tells(here, capsys):
    assert ab("stop", "-c", "engine.yaml", "deep", "--why", "a test", "--by", "anna") == 0
    assert ab("stop", "-c", "engine.yaml", "deep") == 0
    assert "was stopped already" in capsys.readouterr().out
    assert ab("status", "-c", "experiments.yaml") == 0
    assert re.search(r"deep: stopped .* by anna: a test", capsys.readouterr().out)
    assert ab("assign", "-c", "engine.yaml", "u1") == 0
    assert json.loads(capsys.readouterr().out) == {"unit": "u1", "experiments": {}, "parameters": {}}
    assert ab("start", "-c", "engine.yaml", "deep") == 0
    capsys.readouterr()
    assert ab("assign", "-c", "engine.yaml", "u1", "u2", "age=3") == 0
    assert capsys.readouterr().out.count("deep/") == 2


def test_the_command_tells_who_would_move(here, capsys):
    (here / "grown.yaml").write_text(json.dumps(config(ramp=0.5)))
    (here / "other.yaml").write_text(json.dumps(config(salt="x")))
    assert ab("diff", "-c", "grown.yaml", "--new", "experiments.yaml", "--units", "2000") == 0
    assert ab("diff", "-c", "experiments.yaml", "--new", "other.yaml", "--units", "2000") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["stop", "-c", "engine.yaml", "dep"], "did you mean 'deep'"),
        (["analyse", "-c", "engine.yaml", "--metric", "cttr"], "did you mean 'ctr'"),
        (["analyse", "-c", "engine.yaml", "--layer", "x"], "there is no layer 'x'"),
        (["analyse", "-c", "engine.yaml", "--alpha", "2"], "--alpha must lie between 0 and 1"),
        (["analyse", "-c", "experiments.yaml"], "--log DIR"),
        (["status", "-c", "no.yaml"], "cannot read the file"),
        (["status", "-c", "bare.yaml"], "needs 'experiments'"),
    ],
)
def test_bad_words_are_told(here, capsys, words, message):
    (here / "bare.yaml").write_text("scenes: []\n")
    assert ab(*words) == 2
    assert message in capsys.readouterr().err
