"""Profiles, synthetic interactions and explanations: what was told, what may come of it, and what is nobody's."""

import datetime
import json
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from easyrec.errors import ConfigError, DataError
from easyrec.llm.config import load_llm
from easyrec.llm.grounds import Grounds
from easyrec.llm.tools.augment import augment
from easyrec.llm.tools.explain import explain
from easyrec.llm.tools.profile import profile


@pytest.fixture
def tables(tmp_path):
    """Writes tables from rows, and gives their paths."""

    def write(name, rows, schema=None):
        path = tmp_path / f"{name}.parquet"
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)
        return str(path)

    return write


def lines_of(body):
    """The data of a request."""
    turns = [one["content"] for one in body["messages"] if one["role"] == "user" and one["content"][0] == "{"]
    return [json.loads(line) for line in turns[-1].split("\n")]


@pytest.fixture
def run(model_server, tmp_path):
    """Runs a tool; gives what came of it, its rows, and what was told, a list of lines for each question."""

    def make(tool, section, answer, name="out"):
        section = {"max_failed": 1.0, **section}
        cache = str(tmp_path / f"{len(list(tmp_path.glob('*.db')))}.db")
        before = len(model_server.asked)

        def said(path, body):
            if path == "/embeddings":
                return model_server.word_vectors(path, body)
            found = answer(lines_of(body))
            return model_server.says(found if isinstance(found, str) else json.dumps(found))

        model_server.answer = said
        model = {"base_url": model_server.url, "model": "m", "key_env": "MODEL_KEY", "concurrency": 1, "cache": cache}
        config = {"model": model, "embedder": {"type": "server", **model}, tool.__name__: section}
        done = tool(*load_llm(config, tool.__name__))
        told = [lines_of(body) for path, body in model_server.asked[before:] if path == "/chat/completions"]
        return done, pq.read_table(tmp_path / f"{name}.parquet").to_pylist(), told

    return make


# ---------------------------------------------------------------------------------------------------- profiles


def of_items(tables, tmp_path, fields, rows, **more):
    items = {"path": tables("items", rows), "text": "{title} {tags}"}
    return {"items": items, "of_items": {"output": str(tmp_path / "out.parquet"), "fields": fields}, **more}


def test_what_a_text_does_not_say_is_dropped_and_counted(run, tables, tmp_path):
    rows = [{"item_id": 1, "title": "Warm boots of brown leather", "tags": None}]
    fields = [
        {"name": "free", "about": "x"},
        {"name": "own", "about": "x", "grounded": True},
        {"name": "quoted", "about": "x", "grounded": "quoted"},
        {"name": "told", "type": "text", "about": "x", "grounded": True},
    ]
    quotes = [("cosy", "warm boots"), ("light", "light as air"), ("leather", "")]
    said = {
        "free": ["made up", "made up", ""],
        "own": ["Leathers", "brown boot", "waterproof", "brown suede"],
        "quoted": [{"value": value, "quote": quote} for value, quote in quotes],
        "told": "Boots for winter hikes in deep snow",
    }
    done, (row,), _ = run(profile, of_items(tables, tmp_path, fields, rows), lambda told: said)
    assert row["free"] == ["made up"]
    assert row["own"] == ["Leathers", "brown boot"]
    assert row["quoted"] == ["cosy", "leather"]
    assert row["told"] is None  # one word of five
    assert (row["unsupported"], row["state"], row["synthetic"], row["source"]) == (4, "answered", True, "m")
    assert done["items"].unsupported == {"own": 2, "quoted": 1, "told": 1}
    assert done["items"].report["unsupported_examples"]["own"] == ["waterproof", "brown suede"]


def test_quotes_are_found_in_scripts_without_gaps():
    grounds, text = Grounds("english"), "轻便的跑鞋，透气舒适。For Running outdoors"
    for quote in ("透气", "轻便的跑鞋", "跑鞋，透气", "running", "舒适。for running"):
        assert grounds.quotes(quote, text), quote
    for quote in ("防水", "run", "outdoor", "，。", "", "鞋跑"):
        assert not grounds.quotes(quote, text), quote
    assert grounds.share("透气", grounds.words(text)) == 1.0
    assert grounds.share("防水", grounds.words(text)) == 0.0


def test_rows_without_a_text_are_not_asked_about(run, tables, tmp_path):
    rows = [
        {"item_id": 1, "title": "boots", "tags": ["warm", "brown"]},
        {"item_id": 2, "title": None, "tags": None},
        {"item_id": 3, "title": "  ", "tags": []},
        {"item_id": 4, "title": None, "tags": ["red"]},
        {"item_id": 5, "title": "轻便的跑鞋", "tags": None},
    ]
    fields = [{"name": "kinds", "about": "x"}]
    done, found, told = run(profile, of_items(tables, tmp_path, fields, rows), lambda told: {"kinds": ["a kind"]})
    assert [row["item_id"] for row in found] == [1, 4, 5]
    assert [one[0]["item"] for one in told] == ["boots warm, brown", "red", "轻便的跑鞋"]
    assert done["items"].skipped == 2
    with pytest.raises(DataError, match="in no row anything is said by title, tags"):
        run(profile, of_items(tables, tmp_path, fields, rows[1:3]), lambda told: {"kinds": []})


def test_choices_that_cannot_be_made_are_null(run, tables, tmp_path):
    fields = [
        {"name": "audience", "type": "choice", "about": "x", "allowed": ["men", "women"]},
        {"name": "occasions", "about": "x", "allowed": ["work", "home"]},
    ]
    said = {
        "a": {"audience": "unknown", "occasions": ["home", "home"]},
        "b": {"audience": "men", "occasions": []},
        "c": {"audience": "dogs", "occasions": ["home"]},
    }
    rows = [{"item_id": n, "title": title, "tags": None} for n, title in enumerate(said)]
    section = of_items(tables, tmp_path, fields, rows)
    done, found, _ = run(profile, section, lambda told: said[told[0]["item"]])
    assert [(row["audience"], row["occasions"]) for row in found[:2]] == [(None, ["home"]), ("men", [])]
    assert (found[2]["state"], found[2]["audience"], found[2]["occasions"]) == ("unparsed", None, None)
    assert done["items"].unknown == {"audience": 1, "occasions": 1}


def test_profiles_of_users_know_nothing_later(run, tables, tmp_path):
    items = [{"item_id": n, "title": f"thing {n}", "tags": None} for n in range(6)]
    events = [{"user_id": u, "item_id": n, "timestamp": n, "stars": float(n)} for u in "ab" for n in (3, 1, 5, 2)]
    events += [{"user_id": "c", "item_id": 1, "timestamp": 1, "stars": 1.0}]
    events += [{"user_id": "a", "item_id": 4, "timestamp": 2, "stars": float("nan")}]
    section = of_items(tables, tmp_path, [{"name": "likes", "about": "x"}], items)
    users = {
        "output": str(tmp_path / "users.parquet"),
        "fields": [{"name": "likes", "about": "x", "grounded": True}],
        "events": {"path": tables("events", events), "before": 5, "last": 2, "value": "stars"},
        "least": 2,
    }
    done, rows, told = run(
        profile, {"items": section["items"], "of_users": users}, lambda told: {"likes": ["thing", "5"]}, "users"
    )
    assert told == [[{"event": "thing 2", "value": 2.0}, {"event": "thing 3", "value": 3.0}]]  # both users are alike
    assert [(row["user_id"], row["events"], row["until"], row["likes"]) for row in rows] == [
        ("a", 2, 3, ["thing"]),
        ("b", 2, 3, ["thing"]),
    ]
    assert done["users"].skipped == 1


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"name": "state"}, "'state' is a word of schemas and profiles"),
        ({"name": "item_id"}, "the output has a column 'item_id' already"),
        ({"type": "choice"}, "a choice needs two values"),
        ({"type": "choice", "allowed": ["a", "unknown"]}, "'unknown' is what the model says"),
        ({"type": "text", "grounded": "quoted"}, "a text has no single quote"),
        ({"typ": "text"}, "did you mean 'type'"),
    ],
)
def test_fields_that_cannot_be_are_told_where_they_stand(tables, tmp_path, change, told):
    section = of_items(
        tables, tmp_path, [{"name": "good", "about": "x"}, {"name": "kinds", "about": "x", **change}], []
    )
    with pytest.raises(ConfigError, match=told) as found:
        load_llm({"profile": section}, "profile")
    assert "fields[1]" in str(found.value) or "fields . 1" in str(found.value) or "fields.1" in str(found.value)


# ---------------------------------------------------------------------------------------------------- augment

PEOPLE = 6


def cold(tables, tmp_path, *, rows=None, kind=None, **fields):
    items = [{"item_id": f"n{n}", "title": f"new thing {n}"} for n in range(4)]
    items += [{"item_id": f"w{n}", "title": f"old thing {n}"} for n in range(PEOPLE)]
    events = [
        {"user_id": user, "item_id": f"w{(user + n) % PEOPLE}", "timestamp": 10 * n}
        for user in range(PEOPLE)
        for n in range(3)
    ]
    table = pa.Table.from_pylist(events + (rows or []))
    if kind is not None:
        table = table.set_column(2, "timestamp", table["timestamp"].cast(kind))
    path = tmp_path / "events.parquet"
    pq.write_table(table, path)
    return {
        "items": {"path": tables("items", items), "text": "{title}"},
        "events": {"path": str(path)},
        "below": 2,
        "users": 4,
        "per_item": 2,
        "by": "drawn",
        "output": str(tmp_path / "out.parquet"),
        **fields,
    }


def all_of(told):
    return {"people": [line["person"] for line in told if "person" in line]}


@pytest.mark.parametrize("by", ["drawn", "words", "vectors"])
def test_nobody_is_asked_whether_he_would_take_what_he_took(run, tables, tmp_path, by):
    took = [{"user_id": user, "item_id": f"n{user}", "timestamp": 5} for user in range(3)]
    section = cold(tables, tmp_path, rows=took, by=by, users=PEOPLE, per_item=PEOPLE, per_user=100)
    done, rows, told = run(augment, section, all_of)
    pairs = {(row["user_id"], row["item_id"]) for row in rows}
    assert pairs == {(user, f"n{n}") for n in range(4) for user in range(PEOPLE)} - {(n, f"n{n}") for n in range(3)}
    assert sorted(len(one) - 1 for one in told) == [PEOPLE - 1] * 3 + [PEOPLE]
    assert done.rows == len(rows) == 4 * PEOPLE - 3


def test_rows_are_bounded_and_all_of_them_are_marked(run, tables, tmp_path):
    done, rows, _ = run(augment, cold(tables, tmp_path, kind=pa.timestamp("ms", "UTC"), per_user=1), all_of)
    for column, most in (("item_id", 2), ("user_id", 1)):
        assert np.unique([row[column] for row in rows], return_counts=True)[1].max() <= most
    newest = datetime.datetime(1970, 1, 1, 0, 0, 0, 20_000, tzinfo=datetime.timezone.utc)
    assert {(row["synthetic"], row["source"], row["timestamp"], row["label"]) for row in rows} == {
        (True, "m", newest, 1.0)
    }
    assert {row["sample_weight"] for row in rows} == {np.float32(0.3)}
    assert done.named == done.rows + done.over
    assert pq.read_schema(tmp_path / "out.parquet").field("timestamp").type == pa.timestamp("ms", "UTC")


def test_people_who_were_not_shown_and_who_are_named_twice_do_not_count(run, tables, tmp_path):
    section = cold(tables, tmp_path, per_user=100)
    done, rows, _ = run(augment, section, lambda told: {"people": [9, 1, 1, 0]})
    assert (done.unknown, done.doubled, done.rows) == (8, 4, 4)
    assert all(row["item_id"][0] == "n" and row["user_id"] in range(PEOPLE) for row in rows)


def test_both_orders_must_agree(run, tables, tmp_path):
    done, rows, told = run(augment, cold(tables, tmp_path, both_orders=True), lambda told: {"people": [1]})
    assert (rows, done.turned) == ([], 8)  # who looks at places alone says nothing
    assert len(told) == 8
    assert [one["likes"] for one in told[0][1:]] == [one["likes"] for one in told[1][:0:-1]]


def test_of_two_items_both_are_rows_within_the_bounds(run, tables, tmp_path):
    took = [{"user_id": 0, "item_id": "n1", "timestamp": 5}]
    section = cold(tables, tmp_path, rows=took, how="pairwise", users=PEOPLE, per_item=6, per_user=4)

    def answer(told):
        first, second = told[1]["A"], told[2]["B"]
        return {"better": "A" if first > second else "B"}

    done, rows, _ = run(augment, section, answer)
    pairs = {}
    for row in rows:
        pairs.setdefault((row["pair"], row["user_id"]), {})[row["label"]] = row["item_id"]
    assert len(pairs) == len(rows) / 2 == len({row["pair"] for row in rows}) > 3
    assert all(own[1.0] > own[0.0] for own in pairs.values())
    assert np.unique([row["user_id"] for row in rows], return_counts=True)[1].max() <= 4
    assert np.unique([row["item_id"] for row in rows], return_counts=True)[1].max() <= 6
    assert (0, "n1") not in {(row["user_id"], row["item_id"]) for row in rows}
    assert done.turned == 0
    echo, rows, _ = run(augment, section, lambda told: {"better": "A"})
    assert (rows, echo.turned > 3) == ([], True)


def test_without_cold_items_or_users_it_says_so(run, tables, tmp_path):
    took = [{"user_id": 9, "item_id": f"n{n % 4}", "timestamp": n} for n in range(8)]
    with pytest.raises(DataError, match="no item has fewer than 2 events"):
        run(augment, cold(tables, tmp_path, rows=took), all_of)
    with pytest.raises(DataError, match="no user has 4 events"):
        run(augment, cold(tables, tmp_path, least=4), all_of)
    section = cold(tables, tmp_path)
    section["events"]["before"] = 0
    with pytest.raises(DataError, match="no event of an item that is known"):
        run(augment, section, all_of)


# ---------------------------------------------------------------------------------------------------- explain

THINGS = ["leather boots", "wool socks", "a red kite", "rubber boots", "a novel"]


def told_why(tables, tmp_path, wanted, *, events=None, recommended=None, **fields):
    items = [{"item_id": n, "title": title} for n, title in enumerate(THINGS)]
    did = [("ann", 0, 10), ("ann", 1, 20), ("ann", 2, 30), ("bo", 4, 5), ("ann", 3, 25)]
    rows = events or [{"user_id": u, "item_id": i, "timestamp": t} for u, i, t in did]
    return {
        "items": {"path": tables("items", items), "text": "{title}"},
        "events": {"path": tables("events", rows)},
        "recommended": {"path": tables("wanted", wanted), "time": "timestamp", **(recommended or {})},
        "output": str(tmp_path / "out.parquet"),
        **fields,
    }


def wanted(user, item, time):
    return {"user_id": user, "item_id": item, "timestamp": time}


def says(*sentences):
    return lambda told: {"sentences": [{"text": text, "cites": cites} for text, cites in sentences]}


def test_only_his_own_events_before_the_moment_are_told_and_not_the_item_itself(run, tables, tmp_path):
    rows = [wanted("ann", 4, 25), wanted("ann", 3, 99), wanted("bo", 3, 99), wanted("ann", 4, 10), wanted("cy", 4, 99)]
    _, found, told = run(explain, told_why(tables, tmp_path, rows), says(("You like them.", [1])))
    texts = [[line["text"] for line in one[1:]] for one in told]
    assert texts == [THINGS[:2], THINGS[:3], [THINGS[4]]]  # the purchase of 3 at 25 is no reason for 3, nor for 4 at 25
    assert [row["state"] for row in found] == ["template"] * 3 + ["none"] * 2
    without = told_why(tables, tmp_path, [wanted("ann", 3, 0)], recommended={"time": None})
    _, _, told = run(explain, without, says())
    assert [line["text"] for line in told[0][1:]] == THINGS[:3]


def test_a_sentence_stands_on_events_that_were_told_or_is_dropped(run, tables, tmp_path):
    section = told_why(tables, tmp_path, [wanted("ann", 3, 40)])
    sentences = [
        ("Boots go with the boots that you have.", [1, 2, 7]),
        ("Many people love these.", []),
    ]
    done, (row,), _ = run(explain, section, says(*sentences))
    assert (row["text"], row["cites"], row["cited"]) == ("Boots go with the boots that you have.", [1], [0])
    assert (done.sentences, done.unknown, done.dropped) == (2, 1, {"cites nothing": 1})
    for text, cites, why in [
        ("Boots for you.", [9], "cites what was not shown"),
        ("Boots for you.", [2], "no word in common"),
        ("Boots at shop.example", [1], "no sentence"),
        ("Boots <b>now</b>", [1], "no sentence"),
        (" ", [1], "no sentence"),
    ]:
        done, (row,), _ = run(explain, {**section, "sentences": 1}, says((text, cites)))
        assert (row["state"], done.dropped) == ("template", {why: 1}), text
        assert (row["text"], row["cites"], row["cited"]) == ("Because you chose leather boots.", [1], [0])
        assert (row["synthetic"], row["source"]) == (False, None)


def test_sentences_that_do_not_fit_are_dropped(run, tables, tmp_path):
    section = told_why(tables, tmp_path, [wanted("ann", 3, 40)], longest=40)
    done, (row,), _ = run(
        explain, section, says(("Boots like yours of leather.", [1]), ("And socks of wool too.", [2]))
    )
    assert (row["text"], done.dropped) == ("Boots like yours of leather.", {"too long": 1})


def test_chinese_texts_share_words(run, tables, tmp_path):
    items = [{"item_id": 0, "title": "轻便的跑鞋"}, {"item_id": 1, "title": "透气运动袜"}]
    section = told_why(tables, tmp_path, [wanted("ann", 1, 40)])
    section["items"]["path"] = tables("items", items)
    section["events"]["path"] = tables("events", [wanted("ann", 0, 1)])
    _, (row,), _ = run(explain, section, says(("您买过跑鞋，配运动袜正好。", [1])))
    assert (row["state"], row["text"]) == ("model", "您买过跑鞋，配运动袜正好。")


def test_times_of_another_kind_would_tell_the_future_and_are_refused(run, tables, tmp_path):
    rows = [{"user_id": "ann", "item_id": 4, "timestamp": datetime.datetime(1970, 1, 1)}]
    with pytest.raises(DataError, match=r"wanted\.parquet.*timestamp.*cannot be compared with int64"):
        run(explain, told_why(tables, tmp_path, rows), says())


def test_templates_name_what_there_is(tables, tmp_path):
    with pytest.raises(ConfigError, match=re.escape("'{name}' is nothing that it can name")):
        load_llm({"explain": told_why(tables, tmp_path, [], template="As {name}")}, "explain")
