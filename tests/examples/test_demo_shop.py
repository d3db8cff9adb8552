"""The demo shop: its tables, its configs, what its page takes; and in a browser, that the feed learns from clicks."""

import importlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import types
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from easyrec.data.shop import generate
from easyrec.errors import RunError

pytest.importorskip("uvicorn", reason="needs the extra 'serving'")

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "examples" / "demo_shop"
ODD = '<img src=x onerror="document.title=1"></script>/..?&'


@pytest.fixture(scope="module")
def training():
    return module("training")


def module(name):
    """A module of the example, which is no package."""
    sys.path.insert(0, str(DEMO))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(DEMO))


# ------------------------------------------------------------------------------------------------ tables


@pytest.fixture(scope="module")
def tables(tmp_path_factory, training):
    """The shop, and the folder with what `write_tables` makes of it."""
    folder, shop = tmp_path_factory.mktemp("tables"), generate(3_000, seed=0)
    with training._inside(folder):
        training.write_tables(shop, 2_000)
    return shop, folder


def test_a_click_is_learned_with_what_the_user_had_clicked_before_it_and_nothing_else(tables, training):
    shop, folder = tables
    events = shop.clicks.events
    first = {}
    for place, user in enumerate(events.user.tolist()):
        first.setdefault(user, place)
    runs, pairs = set(), set()
    for place in np.argsort(events.time)[-2_500:].tolist():
        user, item = int(events.user[place]), int(events.item[place])
        past = events.item[first[user] : place].tolist()[-training.HISTORY :]
        runs.add((*past, item))
        pairs.add((user, item))
    learned = pq.read_table(folder / "clicks" / "train.parquet")
    wanted = pq.read_table(folder / "clicks" / "valid_pairs.parquet").to_pylist()
    assert learned.num_rows > 1_000
    assert {(row["user_id"], row["item_id"]) for row in wanted} <= pairs
    cate = shop.items["cate"].to_numpy()
    for row in learned.slice(0, 200).to_pylist():
        assert (*row["click_seq__item_id"], row["item_id"]) in runs
        assert row["click_seq__cate"] == cate[row["click_seq__item_id"]].tolist()


def test_the_catalogue_has_names_to_show(tables):
    shop, folder = tables
    items = pq.read_table(folder / "items.parquet")
    assert len(items) == len(shop.items)
    first = items.slice(0, 1).to_pylist()[0]
    assert all(title.isascii() for title in items["title"].to_pylist())
    assert shop.items["title"][0].as_py().startswith(first["title"])
    assert (first["category"], first["department"]) == ("dresses", "women's clothing")
    assert sum(items["clicks"].to_pylist()) == len(shop.clicks.events.item)
    assert 0.01 < np.mean(items["stock"].to_numpy() == 0) < 0.06


def test_whom_one_may_be_is_known_by_events_of_before(tables, training):
    _, folder = tables
    personas = json.loads((folder / "personas.json").read_text())
    assert len({one["user_id"] for one in personas}) == training.PERSONAS
    (log,) = (folder / "logs").glob("events-*.jsonl")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["time"] for line in lines] == sorted(line["time"] for line in lines)
    assert lines[-1]["time"] < 1000 * time.time()
    for one in personas:
        assert sum(line["user_id"] == one["user_id"] for line in lines) == training.REMEMBERED


def test_a_folder_of_something_else_is_left_alone(tmp_path, training):
    kept = tmp_path / "letters.txt"
    kept.write_text("dear reader")
    for folder in (tmp_path, kept):
        with pytest.raises(RunError, match="holds something else"):
            training.built(folder, 1_000, 100, fresh=True, tell=print)
    assert kept.read_text() == "dear reader"


# ----------------------------------------------------------------------------------------------- configs


def test_the_configs_are_valid_and_every_variant_gives_a_scene(monkeypatch, training):
    from easyrec.config import load_experiment
    from easyrec.loop.config import load_loop
    from serving.ab import load_experiments
    from serving.engine.config import load_engine_config

    monkeypatch.chdir(training.CONFIGS)
    engine, front = load_engine_config("engine.yaml"), module("front")
    experiments = load_experiments("experiments.yaml")
    feed = engine.scene("feed")
    told = [v.parameters for _, one in experiments.experiments.values() for v in one.variants]
    told += [{"rank.score": text} for text in front.FORMULAS.values()]
    told += [{f"recall.{source.called}.count": 0} for source in feed.recall]
    for parameters in told:
        engine.check_scene(feed.with_parameters(parameters))
    assert sum(bool(parameters) for parameters in told) >= 3
    assert load_loop("loop.yaml").experiment == "ranker.yaml"
    for name in ("two_tower", "light", "ranker", "neighbours"):
        assert load_experiment(f"{name}.yaml").name == name


@pytest.mark.parametrize(
    "what_if",
    [
        {"formula": "ctr * 2"},
        {"lambda": 1.5},
        {"lambda": True},
        {"without": ["i2i", "../../etc/passwd"]},
        {"rank.model": "x"},
        {"recall.i2i.path": "/etc/passwd"},
        [],
    ],
)
def test_what_if_takes_what_the_page_offers_and_nothing_else(what_if):
    front = module("front")
    from serving.server.http import Refused

    sources = [types.SimpleNamespace(called=name) for name in ("ann", "i2i")]
    scene = types.SimpleNamespace(recall=sources)
    service = types.SimpleNamespace(engine=types.SimpleNamespace(config=types.SimpleNamespace(scenes=[scene])))
    with pytest.raises(Refused):
        front._tried(what_if, service)
    good = {"formula": "ctr", "lambda": 0.5, "without": ["i2i"]}
    assert front._tried(good, service) == {"rank.score": "ctr", "rerank.mmr.lambda": 0.5, "recall.i2i.count": 0}


def test_the_page_loads_nothing_from_elsewhere_and_makes_no_markup_of_texts():
    page = DEMO / "page"
    for path in page.iterdir():
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "//" not in re.sub(r"^\s*//.*$|\s//\s.*$", "", text, flags=re.M), path.name
        for word in ("innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(", "style="):
            assert word not in text, path.name


# ------------------------------------------------------------------------------------------ in a browser


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The address of a shop with small models, and its folder."""
    folder = tmp_path_factory.mktemp("demo") / "shop"
    command = [
        sys.executable,
        DEMO,
        "--folder",
        folder,
        "--rows",
        "60000",
        "--clicks",
        "30000",
        "--port",
        "0",
        "--no-loop",
    ]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    log = folder.parent / "log"
    with log.open("w") as told, subprocess.Popen(command, stdout=told, stderr=told, env=env) as process:
        try:
            end = time.monotonic() + 900
            while not (found := re.search(r"the demo shop: (http://\S+)/", log.read_text())):
                assert process.poll() is None, log.read_text()[-4000:]
                assert time.monotonic() < end, log.read_text()[-4000:]
                time.sleep(0.3)
            yield found[1], folder
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0, log.read_text()[-4000:]


def post(address, path, body):
    request = urllib.request.Request(address + path, json.dumps(body).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


CARDS = "document.querySelectorAll('#cards .card')"
SHARE = f"[...document.querySelectorAll('#cards .card')].filter(one => one.dataset.category === 'sneakers').length / {CARDS}.length"


def shown(browser, address, **size):
    """Open the page, and wait until the feed is there with what is told of it."""
    browser.open(address, **size)
    browser.wait(f"{CARDS}.length === 24 && document.querySelector('#clicked .body').childNodes.length > 0")


@pytest.mark.slow
def test_a_visitor_clicks_what_they_like_and_the_feed_learns(served, browser):
    address, folder = served
    shown(browser, f"{address}/?user=visitor-1")
    before = browser.run(SHARE)
    assert "Nothing yet" in browser.run("document.querySelector('#clicked').textContent")

    # The experiments that the visitor is in, one of each layer.
    variants = browser.run("[...document.querySelectorAll('#experiments [data-layer]')].map(one => one.textContent)")
    answer = post(address, "/recommend", {"user_id": "visitor-1"})
    assert "ranked by version" in browser.run("document.querySelector('#subtitle').textContent")
    assert variants == [str(v).split("/")[-1] for v in answer["experiments"].values()]
    assert len(variants) == 2

    # Browse to sneakers, and click five.
    browser.run(
        "[...document.querySelectorAll('#departments button')].find(b => b.textContent === 'shoes and bags').click()"
    )
    browser.wait("document.querySelector('#title').textContent === 'sneakers'")
    for number in range(5):
        browser.run(f"document.querySelectorAll('#cards .open')[{number}].click()")
        browser.wait("document.querySelectorAll('.beside li').length > 0")
        if number == 0:
            browser.run("document.querySelector('.buy').click()")
            browser.wait("document.querySelector('.buy').textContent === 'Bought'")
        browser.run("document.getElementById('dialog').close()")

    # Somebody who comes back is known.
    shown(browser, f"{address}/")
    assert browser.run("new URL(location.href).searchParams.get('user')") == "visitor-1"
    after = browser.run(SHARE)
    assert after >= before + 3 / 24
    assert browser.run("document.querySelectorAll('#clicked .picture').length") == 5

    # A click in the feed changes the feed, and the page tells by how much.
    browser.run("document.querySelector('#cards .card:not([data-category=sneakers]) .open').click()")
    browser.wait("document.querySelectorAll('.beside li').length > 0")
    browser.run("document.getElementById('dialog').close()")
    browser.wait("document.querySelectorAll('#shares .before').length > 0")
    assert browser.complaints() == []

    end = time.monotonic() + 30
    while len(events := list(logged(folder, "visitor-1"))) < 7:
        assert time.monotonic() < end, events
        time.sleep(0.2)
    assert [event["type"] for event in events] == ["click", "buy"] + ["click"] * 5


def logged(folder, user):
    """Events of a visitor in the order of the log."""
    for path in sorted((folder / "logs").glob("events-*.jsonl")):
        yield from (event for line in path.read_text().splitlines() if (event := json.loads(line))["user_id"] == user)


@pytest.mark.slow
def test_the_panel_tells_the_way_of_items_and_what_would_be(served, browser):
    address, folder = served
    persona = json.loads((folder / "personas.json").read_text())[0]["user_id"]
    shown(browser, f"{address}/?user={persona}")
    assert browser.run("document.querySelectorAll('#clicked .picture').length") == 12
    told = browser.run("document.querySelector('#item').textContent")
    assert re.search(r"(ann|i2i|liked|popular|new) recalled it as number \d+", told)
    assert re.search(r"rank number \d+, score 0\.\d+ \(ctr 0\.\d+, cvr 0\.\d+\)", told)
    assert "shown at place 1" in told
    chips = "[...new Set([...document.querySelectorAll('#cards .chip')].map(one => one.textContent))]"
    assert {"ann", "i2i", "liked"} <= set(browser.run(chips))
    traced = browser.run("document.querySelectorAll('#trace [data-traced]').length")
    assert traced == 60

    # By keyboard: what is in focus is told of.
    browser.run("document.querySelectorAll('#cards .open')[3].focus()")
    assert "shown at place 4" in browser.run("document.querySelector('#item').textContent")

    press(browser, "Enter", 13, text="\r")
    browser.wait("document.getElementById('dialog').open && document.querySelectorAll('.beside li').length > 0")
    press(browser, "Escape", 27)
    browser.wait("!document.getElementById('dialog').open && document.activeElement.closest('#cards') !== null")
    browser.wait(f"{CARDS}.length === 24 && document.querySelectorAll('#shares .before').length > 0")

    # What if two of the sources were not asked.
    for source in ("i2i", "liked"):
        browser.run(f"document.querySelector('#what-if input[value={source}]').click()")
    browser.wait("document.querySelector('#banner').textContent.startsWith('What if')")
    browser.wait(f"!{chips}.includes('i2i') && !{chips}.includes('liked')")
    assert browser.run("document.querySelectorAll('.moved').length") > 0
    browser.run("document.querySelector('#back').click()")
    browser.wait(f"{chips}.includes('i2i') && document.querySelector('#banner').hidden")
    assert browser.complaints() == []


def press(browser, key, code, **more):
    """A key, down and up."""
    for kind in ("keyDown", "keyUp"):
        browser.ask("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **more)


@pytest.mark.slow
def test_names_are_shown_as_they_are_and_the_page_fits_a_phone(served, browser):
    address, _ = served
    shown(browser, f"{address}/?user={urllib.request.quote(ODD, safe='')}", width=360, height=740)
    assert ODD in browser.run("document.querySelector('#visitor').textContent")
    assert browser.run("document.querySelectorAll('img').length") == 0
    assert browser.run("document.documentElement.scrollWidth") <= 360
    assert browser.run("getComputedStyle(document.getElementById('panel')).display") == "none"
    browser.run("document.getElementById('panel-button').click()")
    assert browser.run("document.activeElement.id") == "panel-close"
    assert browser.run("document.documentElement.scrollWidth") <= 360
    assert browser.complaints() == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/shop/list", {"user_id": "a", "what_if": {"formula": "price"}}, 400),
        ("/shop/list", {"user_id": "a" * 300}, 400),
        ("/shop/list", [1], 400),
        ("/shop/visitor", {"user_id": ["a"]}, 400),
        ("/shop/visitor", {"user_id": "a", "what_if": {}}, 400),
        ("/shop/list", {"scene": "no", "user_id": "a"}, 404),
        ("/shop/list", {"user_id": "a", "request_id": "x" * 9000}, 413),
        ("/shop/category/-1", None, 404),
        ("/shop/category/999999999999999999999", None, 404),
        ("/shop/../training.py", None, 404),
    ],
)
def test_what_the_page_never_asks_is_refused(served, path, body, status):
    data = None if body is None else json.dumps(body).encode()
    with pytest.raises(urllib.error.HTTPError) as told:
        urllib.request.urlopen(urllib.request.Request(served[0] + path, data), timeout=30)
    assert told.value.code == status
    told.value.close()
