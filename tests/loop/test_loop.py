"""A loop from logs to what a server answers with: gate, deltas, rollback, and what is learned when."""

import json
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from world import World, loop

from easyrec.errors import RunError
from easyrec.export.bundle import digest_of
from easyrec.export.delta import make_delta
from easyrec.loop import window
from easyrec.loop.config import load_loop
from easyrec.loop.page import page
from easyrec.loop.publishing import Publisher
from easyrec.loop.status import as_text, status_of
from easyrec.loop.versions import Versions
from easyrec.loop.worker import ModelWorker, join
from easyrec.store.samples import CORRECTION
from serving.server.config import ServerConfig
from serving.server.keeper import Keeper
from serving.server.metrics import Metrics
from serving.server.models import Models


class Story:
    """A world, a loop over it, and a server that follows it."""

    def __init__(self, folder, **changes):
        self.folder, self.changes = folder, changes
        self.world = World(folder / "logs")
        self.worker = None
        self.begin()

    def begin(self, **changes):
        """The loop as it is when it is started again, perhaps with another config."""
        self.config = load_loop(loop(self.folder, **{**self.changes, **changes}))
        self.worker = ModelWorker(self.config)
        self.worker.begin()

    def serve(self):
        models = [
            {"name": "ctr", "bundle": str(self.folder / "served/current"), "deltas": str(self.folder / "served/deltas")}
        ]
        config = ServerConfig.model_validate({"models": models})
        state = self.folder / "server"
        state.mkdir(exist_ok=True)
        self.keeper = Keeper(config, Models(config.models), Metrics(), state)
        self.keeper.begin()

    def pass_time(self, **options):
        self.world.pass_time(150, **options)
        join(self.config, until_end=True)

    def answers(self):
        """The version that the server answers with, after it has looked."""
        self.keeper.watch()
        (version,) = self.keeper.models.get("ctr").versions
        known = {
            digest_of(self.worker.versions.run(n) / "bundle"): n
            for n in self.worker.versions
            if self.worker.versions.passed(n)
        }
        return known[version.current.digest]

    def learned(self, number):
        rows = pq.read_table(self.worker.versions.at(number) / "rows.parquet")
        return rows["event_id"].to_pylist()

    def result(self, number):
        return {one["result"] for one in self.worker.versions.history if one["version"] == number}


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    story = Story(tmp_path_factory.mktemp("story"), publish={"full_every": 2}, keep=9)
    story.pass_time()
    assert story.worker.once()  # version 1
    story.serve()
    story.seen = [story.answers()]
    story.pass_time()
    assert story.worker.once()  # version 2: a delta alone
    story.seen.append(story.answers())
    story.pass_time()
    story.begin(gate={"min": 0.999})
    assert story.worker.once()  # version 3: refused
    story.seen.append(story.answers())
    story.begin()
    story.pass_time()
    assert story.worker.once()  # version 4: from version 2
    story.seen.append(story.answers())
    assert not story.worker.once()
    story.before = status_of(story.config)
    story.back = story.worker.publisher.roll_back(1, "a test", relearn=True)
    story.seen.append(story.answers())
    assert not story.worker.once()  # nothing is published again
    story.pass_time()
    assert story.worker.once()  # version 5: from version 1, with all that was rolled back
    story.seen.append(story.answers())
    return story


def test_a_server_answers_with_what_passed_and_was_not_rolled_back(story):
    assert story.seen == [1, 2, 2, 4, 1, 5]
    assert story.back == (4, 1)
    versions = story.worker.versions
    assert [versions.read(n, "plan")["base"] for n in (1, 2, 3, 4, 5)] == [None, 1, 2, 2, 1]
    assert (story.result(3), story.result(4)) == ({"refused"}, {"published", "rolled back"})
    assert versions.read(3, "gate")["why"].endswith("is below 0.99900")
    assert [versions.read(n, "publish")["whole"] for n in (1, 2, 4)] == [True, False, True]


def test_each_sample_is_learned_once_unless_it_is_to_be_learned_again(story):
    rows = pq.read_table(story.folder / "samples", partitioning=None).sort_by("time")
    assert not any(rows[CORRECTION].to_pylist())
    once = [name for number in (1, 2, 3, 4) for name in story.learned(number)]
    assert len(once) == len(set(once))
    held = pq.read_table(story.worker.versions.at(4) / "held.parquet")["event_id"].to_pylist()
    assert not set(held) & set(once)
    everything = set(rows["event_id"].to_pylist())
    last = pq.read_table(story.worker.versions.at(5) / "held.parquet")["event_id"].to_pylist()
    assert set(story.learned(5)) == everything - set(story.learned(1)) - set(story.learned(3)) - set(last)
    times = pq.read_table(story.worker.versions.at(2) / "rows.parquet")["time"].to_pylist()
    assert times == sorted(times)
    assert max(times) < min(pq.read_table(story.worker.versions.at(2) / "held.parquet")["time"].to_pylist())


def test_a_version_is_compared_with_what_is_served_on_samples_that_neither_has_learned(story):
    gate = story.worker.versions.read(4, "gate")
    assert gate["serving_version"] == 2
    assert 0 < gate["serving"] < 1
    value, low, high = gate["drop"]
    assert value == pytest.approx(gate["serving"] - gate["value"])
    assert low < value < high
    assert gate["rows"] == pq.read_metadata(story.worker.versions.at(4) / "held.parquet").num_rows


def test_a_server_that_starts_now_answers_with_the_same(story):
    (story.folder / "server").rename(story.folder / "server-before")
    before = story.keeper
    story.serve()
    try:
        assert story.answers() == 5
    finally:
        story.keeper = before


def test_what_deltas_made_already_is_not_loaded_again(story, tmp_path):
    first, second = (story.worker.versions.run(number) / "bundle" for number in (1, 2))
    current = tmp_path / "current"
    current.symlink_to(first)
    model = {"name": "ctr", "bundle": str(current), "deltas": str(tmp_path / "deltas")}
    config = ServerConfig.model_validate({"models": [model]})
    models, metrics = Models(config.models), Metrics()
    keeper = Keeper(config, models, metrics, tmp_path / "server")
    keeper.begin()
    make_delta(first, second, tmp_path / "deltas" / "2")
    keeper.watch()
    (version,) = models.get("ctr").versions
    made = version.current
    assert made.digest == digest_of(second)
    current.unlink()
    current.symlink_to(second)
    keeper.watch()
    assert version.current is made
    (tmp_path / "deltas" / "2").rename(tmp_path / "gone")
    current.unlink()
    current.symlink_to(first)
    keeper.watch()
    assert version.current.digest == digest_of(first)


def test_status_metrics_and_page_tell_the_same(story):
    before = story.before["figures"]
    assert (before["served_version"], before["versions_refused_total"], before["versions_published_total"]) == (4, 1, 3)
    status = status_of(story.config)
    figures = status["figures"]
    assert (figures["served_version"], figures["versions_rolled_back_total"]) == (5, 1)
    assert 0 < figures["joined_behind_seconds"] < figures["served_behind_seconds"] < 600
    text = as_text(status)
    assert "\neasyrec_loop_served_version 5\n" in text
    assert 'easyrec_loop_gate_value{metric="auc"} 0.' in text
    shown = page(story.config, status)
    assert "rolled back to 1" in shown
    assert "<script" not in shown
    assert "http://" not in shown.replace("http://www.w3.org/", "")
    assert json.loads(json.dumps(status))["served"]["version"] == 5


def test_what_is_served_belongs_to_one_loop(story, tmp_path):
    other = load_loop({**loop(story.folder), "state": str(tmp_path / "other")})
    with pytest.raises(RunError, match="publishes into it: give this one a folder of its own"):
        Publisher(other, Versions(other.folder))


def test_samples_that_were_learned_go_after_a_while(story):
    config = story.config.model_copy(update={"keep_samples": 1500.0})
    before = pq.read_table(story.folder / "samples", partitioning=None)["time"].to_pylist()
    assert window.forget(config, story.worker.versions) > 0
    after = pq.read_table(story.folder / "samples", partitioning=None)["time"].to_pylist()
    newest = story.worker.versions.read(5, "plan")["newest"]
    assert {time for time in before if time >= newest - 1_500_000} <= set(after)
    assert len(after) < len(before)


def test_there_must_be_something_to_go_back_to(story):
    with pytest.raises(RunError, match="version 4 cannot be gone back to; kept: 1"):
        story.worker.publisher.roll_back(4)


def test_counts_of_versions_never_fall_however_long_the_history_is(tmp_path, monkeypatch):
    monkeypatch.setattr("easyrec.loop.versions.HISTORY_BYTES", 2000)
    versions, counts = Versions(tmp_path), []
    for number in range(60):
        result = "refused" if number % 3 == 2 else "published"
        versions.tell({"version": number, "result": result, "why": "x" * 40})
        if number % 10 == 0:
            versions.tell({"version": number, "result": result, "why": "told again after a kill"})
        counts.append(versions.ended(versions.history))
    assert counts == [
        {name: n for name, n in (("published", a - a // 3), ("refused", a // 3)) if n} for a in range(1, 61)
    ]
    assert len(versions.history) < 20


def test_a_line_of_the_history_that_was_cut_costs_no_other(tmp_path):
    versions = Versions(tmp_path)
    versions.tell({"version": 1, "result": "published"})
    with (tmp_path / "history.jsonl").open("a") as file:
        file.write('{"at": 1, "version": 2, "resu')
    versions.tell({"version": 2, "result": "published"})
    assert [one["version"] for one in versions.history] == [1, 2]
