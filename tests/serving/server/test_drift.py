"""Drift: what is served compared with what was trained, and alarms that come once and not by chance."""

import logging
import os
import subprocess
import sys

import numpy as np
import pyarrow.compute as pc
import pytest

from easyrec.export.bundle import Bundle
from easyrec.export.profile import Profile
from easyrec.histograms import psi
from serving.server.columns import Question, ask
from serving.server.config import DriftConfig, ModelConfig
from serving.server.drift import Drift
from serving.server.metrics import Board, Metrics, exposition
from serving.server.models import Loaded, Models


@pytest.fixture(scope="module")
def profiled(make_toy, toy_rows, tmp_path_factory):
    """A bundle whose profile is of 2000 rows."""
    return make_toy(
        {"type": "deepfm", "hidden": [8]}, tmp_path_factory.mktemp("profiled") / "bundle", rows=toy_rows(2000, 1)
    )


class Watching:
    """A model that is served, and rows that are asked of it, by a clock that stands still."""

    def __init__(self, bundle, rows, **config):
        self.now, self.rows, self.metrics = 1e9, rows, Metrics()
        self.models = Models([ModelConfig(name="ctr", bundle=str(bundle))])
        self.model = self.models.get("ctr")
        from serving.server.config import LimitsConfig

        self.loaded = Loaded(bundle, self.model.config, LimitsConfig())
        self.model.versions[0].swap(self.loaded)
        self.drift = Drift(
            DriftConfig(**{"min_rows": 500, "min_requests": 50, **config}), self.metrics, lambda: self.now
        )

    def ask(self, requests, seed, change=lambda batch: batch, size=10):
        """Ask of rows that no request shares, `size` candidates each."""
        predictor = self.loaded.predictor
        batch = change(self.rows(requests * size, seed))
        for start in range(0, requests * size, size):
            part = batch.slice(start, size)
            sides = {s: part.select(n) for s, n in predictor._sides.items()}
            question = Question(sides["user"].slice(0, 1), sides["item"], sides["context"].slice(0, 1))
            self.drift.add(self.model, self.loaded, question, ask(self.loaded, question))

    def judge(self, *others):
        self.drift.judge(self.models, others)
        gauges = self.metrics.state()["gauges"]
        return {dict(labels)["name"]: value for name, labels, value in gauges if name == "easyrec_drift_psi"}


@pytest.fixture
def watching(profiled, toy_rows):
    made = []

    def make(**config):
        made.append(Watching(profiled.bundle, toy_rows, **config))
        return made[-1]

    yield make
    for one in made:
        one.models.close()


def told(caplog):
    return [(r.getMessage(), r.told["name"], r.levelname) for r in caplog.records if hasattr(r, "told")]


def pricier(batch):
    price = pc.add(batch.column("price"), 20.0)
    return batch.set_column(batch.schema.get_field_index("price"), "price", price)


def test_a_bundle_tells_what_was_seen_and_said(profiled):
    profile = Profile.of(Bundle.open(profiled.bundle))
    assert profile.rows == 2000
    kinds = {one.name: (one.what, one.kind) for one in profile.histograms}
    assert kinds["click"] == ("score", "numbers")
    assert kinds["user_id"] == ("feature", "ids")
    assert kinds["price"] == ("feature", "codes")
    assert kinds["score"] == ("feature", "numbers")
    scores = next(one for one in profile.histograms if one.what == "score")
    assert sum(scores.counts) == 2000
    assert max(scores.counts) <= 220


def test_rows_as_in_training_raise_nothing_and_others_one_alarm_until_it_is_over(watching, caplog):
    watched = watching(half_life_s=100.0, min_rows=200)
    with caplog.at_level(logging.INFO, "serving.server"):
        watched.ask(220, seed=5)
        found = watched.judge()
        assert max(found.values()) < 0.1, found
        assert {"user_id", "click_seq__item_id"} <= set(found)
        assert not told(caplog)
        watched.ask(180, 6, pricier)
        watched.judge()
        found = watched.judge()
        assert found["price"] > 0.2
        alarms = told(caplog)
        assert ("drift: not as in training", "price", "WARNING") in alarms
        assert len(alarms) == len(set(alarms))
        assert "user_id" not in {name for _, name, _ in alarms}
        watched.now += 300.0  # three half lives: an eighth is left of them
        watched.ask(220, 7)
        assert watched.judge()["price"] < 0.16
        assert ("drift is over", "price", "INFO") in told(caplog)
        watched.judge()
        assert [name for event, name, _ in told(caplog) if event == "drift is over"].count("price") == 1


def test_between_the_two_thresholds_nothing_changes(watching, caplog):
    with caplog.at_level(logging.INFO, "serving.server"):
        watched = watching(threshold=1e-6)
        watched.ask(100, 5)
        index = watched.judge()["score"]
        for threshold, expected in ((index * 1.1, 0), (index * 0.9, 1), (index * 1.1, 1), (index * 1.3, 2)):
            caplog.clear() if expected == 0 else None
            watched.drift._raised.clear() if expected == 0 else None
            watched.drift._config = DriftConfig(min_rows=500, min_requests=50, threshold=threshold)
            watched.judge()
            assert [name for _, name, _ in told(caplog)].count("score") == expected


@pytest.mark.parametrize(
    ("bounds", "requests"),
    [({"min_rows": 501}, 50), ({"min_requests": 51}, 50), ({"min_rows": 2001}, 51)],
    ids=["rows", "requests", "rows-of-training"],
)
def test_few_rows_never_raise_an_alarm(profiled, toy_rows, caplog, bounds, requests):
    watched = Watching(profiled.bundle, toy_rows)
    watched.drift._config = DriftConfig(**{"min_rows": 500, "min_requests": 50, "threshold": 1e-9, **bounds})
    with caplog.at_level(logging.INFO, "serving.server"):
        watched.ask(requests, 5, pricier, 40 if bounds.get("min_rows", 0) > 2000 else 10)
        watched.judge()
        watched.models.close()
    items = {name for _, name, _ in told(caplog)}
    assert not items
    watched.drift._config = DriftConfig(min_rows=500, min_requests=50, threshold=1e-9)
    with caplog.at_level(logging.INFO, "serving.server"):
        watched.judge()
    assert "price" in {name for _, name, _ in told(caplog)}  # so the bounds alone kept it quiet


def test_what_a_user_has_counts_once_a_request(watching):
    watched = watching()
    watched.ask(100, 5)
    ((_, _, _, requests, counts),) = watched.drift.state()
    assert requests == 100
    one = watched.drift._watched["ctr", watched.loaded.version]
    sums = {h.name: found.sum() for h, found in one.histograms(np.array(counts))}
    assert (sums["user_id"], sums["scene"], sums["item_id"], sums["click"]) == (100, 100, 1000, 1000)


def test_counts_of_several_processes_add_up_and_one_of_them_tells(watching, caplog, tmp_path):
    one, two = watching(), watching()
    for watched, seed in ((one, 5), (two, 6)):
        watched.ask(30, seed, pricier)  # too few for each
        assert not watched.judge()
    board = Board(tmp_path)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        state = {**Metrics().state(), "drift": two.drift.state(), "process": other.pid}
        board.post(state, other.pid)
        (left,) = board.others()
        with caplog.at_level(logging.INFO, "serving.server"):
            found = one.judge(left)
            assert bool(told(caplog)) == (os.getpid() < other.pid)
        other.stdin.close()
    profile = Profile.of(one.loaded.predictor.bundle)
    price = next(h for h in profile.histograms if h.name == "price")
    place = [h.name for h in profile.histograms].index("price")
    counts = [list(one.drift._watched["ctr", one.loaded.version].histograms(np.array(w.drift.state()[0][4])))[place][1] for w in (one, two)]  # fmt: skip
    assert found["price"] == pytest.approx(psi(np.array(price.counts), sum(counts)), rel=1e-6)
    assert not board.others()[0]["alive"]
    text = exposition([one.metrics.state(), one.metrics.state()]).decode()
    shown = next(line for line in text.splitlines() if 'name="price"' in line)
    assert float(shown.split()[-1]) == pytest.approx(found["price"])


def test_a_server_shows_the_index(with_app, profiled, request_parts):
    user, items, context = request_parts

    async def work(client):
        for _ in range(30):
            await client.post("/predict", json={"user": user, "items": items, "context": context})
        client.service.after.judge(client.service.models, client.service.board)
        client.service.after._pool.submit(lambda: None).result()
        return (await client.get("/metrics")).text

    drift = {"sample": 1.0, "min_rows": 10, "min_requests": 10}
    text = with_app(work, models=[{"name": "ctr", "bundle": str(profiled.bundle)}], drift=drift)
    assert 'easyrec_drift_psi{model="ctr",what="score",name="click",version="' in text
    assert 'easyrec_drift_psi{model="ctr",what="feature",name="price",version="' in text


def test_a_bundle_without_a_profile_is_served_and_not_compared(with_app, profiled, copied, request_parts):
    import hashlib
    import json

    bundle = copied(profiled.bundle)
    manifest = json.loads((bundle / "manifest.json").read_bytes())
    del manifest["files"]["profile.json"]
    (bundle / "profile.json").unlink()
    text = json.dumps(manifest).encode()
    (bundle / "manifest.json").write_bytes(text)
    (bundle / "manifest.sha256").write_text(f"{hashlib.sha256(text).hexdigest()}  manifest.json\n")
    user, items, context = request_parts

    async def work(client):
        answer = await client.post("/predict", json={"user": user, "items": items, "context": context})
        client.service.after._pool.submit(lambda: None).result()
        client.service.after.drift.judge(client.service.models, [])
        return answer.status_code, client.service.after.drift.state()

    assert with_app(work, models=[{"name": "ctr", "bundle": str(bundle)}], drift={"sample": 1.0}) == (200, [])
