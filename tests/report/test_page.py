import json
from html.parser import HTMLParser

import numpy as np
import pytest

from easyrec.errors import RunError
from easyrec.report import write_report
from easyrec.report.curves import Curves
from easyrec.report.pieces import duration

EVIL = "</style><script>alert('x')</script><img src=//evil.example>"


class Reader(HTMLParser):
    """Collects tags, attributes and text, and fails on tags that do not nest."""

    VOID = frozenset({"meta", "br", "img", "link", "input", "hr"})

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.tags, self.attributes, self.text, self.open = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def read(path):
    reader = Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    reader.close()
    assert reader.open == []
    return reader


def curves():
    rng = np.random.default_rng(0)
    probability = rng.random(500)
    result = Curves()
    result.update((rng.random(500) < probability).astype(float), probability)
    return result.compute()


@pytest.fixture
def run(tmp_path):
    """A run's folder with every part, and hostile text wherever a user's text goes."""
    folder = tmp_path / "shop & co"
    folder.mkdir()
    (folder / "config.yaml").write_text(f"name: x\n# {EVIL}\n# 点击率\n", encoding="utf-8")
    lines = [{"step": s, "train": {"loss": 0.3}, "valid": {"auc": 0.7 + s / 1000, "logloss": 0.3}} for s in (10, 20)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    final = {"valid": {"auc": 0.71}, "test": {"auc": 0.7, "auc[city=<b>]": None}, "best_step": 20, "seconds": 65.4}
    (folder / "metrics.json").write_text(json.dumps(final))
    details = {
        "curves": {"valid": {"click": curves()}, "test": {"click": curves()}},
        "features": [
            {"name": EVIL, "kind": "sparse", "empty": 0.25, "per_row": 1.0, "distinct": 9, "histogram": [5, 4, 1]},
            {"name": "price", "kind": "dense", "empty": 0.0, "per_row": 1.0, "mean": 2.0, "std": 1.0, "histogram": []},
        ],
        "tables": [{"name": "user_id", "rows": 1000, "dim": 16}],
        "timings": {"reading": 1.0, "forward": 3.0},
        "environment": {"Python": "3.11"},
        "training": {"model": "deepfm", "samples_per_second": 80_000.0, "parameters": 16_000},
        "sampled_rows": 5000,
    }
    (folder / "report.json").write_text(json.dumps(details))
    return folder


def test_the_page_is_whole_and_says_what_the_run_says(run):
    reader = read(write_report(run))
    text = " ".join(reader.text)
    for expected in (
        "shop & co",
        "0.7000",
        "1 min 5 s",
        "80 k",
        "deepfm",
        "ROC",
        "Calibration",
        "点击率",
        "25.0%",
        "75%",
    ):
        assert expected in text
    assert reader.tags.count("svg") >= 6


def test_nothing_comes_from_outside_and_nothing_runs(run):
    reader = read(write_report(run))
    assert not {"script", "img", "link", "iframe", "object", "base"} & set(reader.tags)
    assert not [n for n, _ in reader.attributes if n.startswith("on") or n in ("src", "href", "action")]
    style = reader.text[reader.text.index(next(t for t in reader.text if ":root" in t))]
    assert "url(" not in style
    assert "@import" not in style


def test_a_users_text_stays_text(run):
    reader = read(write_report(run))
    assert any(EVIL in text for text in reader.text)


@pytest.mark.parametrize("missing", ["metrics.jsonl", "metrics.json", "report.json"])
def test_a_run_without_one_of_its_files_still_has_a_report(run, missing):
    (run / missing).unlink()
    assert "Config" in " ".join(read(write_report(run)).text)


@pytest.mark.parametrize("name", ["metrics.jsonl", "metrics.json", "report.json"])
def test_a_damaged_file_is_named(run, name):
    (run / name).write_text('{"valid": ')
    with pytest.raises(RunError, match=name):
        write_report(run)


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(RunError, match="not the folder of a run"):
        write_report(tmp_path)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (42.4, "42 s"), (59.6, "1 min 0 s"), (3725, "1 h 2 min")],
)
def test_times_are_said_as_people_say_them(seconds, text):
    assert duration(seconds) == text
