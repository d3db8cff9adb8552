"""The report of a search: one file, no script, everything that was found, and names that are no markup."""

import re
from html.parser import HTMLParser

import pytest

from easyrec.report.points import Axis, Point, contour, parallel, scatter
from easyrec.report.tune_page import tune_page

EVIL = "</style><script>alert('x')</script><img src=//evil.example>"


def trial(number, auc, state="complete", **values):
    outcome = {} if auc is None else {"auc": auc, "latency_ms": 10.0 - number}
    curve = () if auc is None else (auc / 2, auc)
    reason = "diverged" if state == "failed" else ""
    return {
        "number": number,
        "state": state,
        "values": values,
        "outcome": outcome,
        "curve": curve,
        "seconds": 1.5,
        "reason": reason,
    }


TRIALS = [
    trial(0, 0.6, lr=0.01, model="fm"),
    trial(1, 0.7, lr=0.1, model="deepfm", hidden="[8]"),
    trial(2, 0.5, "pruned", lr=0.001, model="fm"),
    trial(3, None, "failed", lr=1.0, model="fm"),
    trial(4, 0.65, lr=0.05, model="deepfm", hidden="[16]"),
    trial(5, 0.66, lr=0.03, model="fm"),
]
AXES = [Axis("lr", log=True), Axis("model", ("fm", "deepfm")), Axis("hidden", ("[8]", "[16]"))]


def page(trials=TRIALS, name="s", best=(1,), objectives=(("auc", True),), importance=None, config="a: 1"):
    found = {
        "name": name,
        "objectives": objectives,
        "trials": trials,
        "best": best,
        "importance": {"lr": 0.75, "model": 0.25} if importance is None else importance,
        "config": config,
        "environment": {"sampler": "tpe", "pruner": "median"},
    }
    return tune_page(found, AXES)


def test_it_is_one_file_without_script_and_what_was_named_is_text():
    tags = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attrs: tags.append((tag, dict(attrs)))
    parser.feed(page(name=EVIL, config=EVIL))
    assert not {"script", "img", "link"} & {tag for tag, _ in tags}
    assert not [value for _, given in tags for value in given.values() if value and "//" in value]


def test_every_trial_is_told_with_its_state():
    text = re.sub(r"<[^>]+>", "|", page())
    assert all(told in text for told in ("complete, best", "pruned", "failed", "diverged", "0.70000", "a: 1"))


def test_the_history_has_a_dot_per_trial_with_a_value():
    history = re.search(r"auc of each trial.*?</svg>", page(), re.S)[0]
    assert history.count("<circle") == 5
    assert history.count('class="dot s1"') == 2  # 0, and 1 which beat it
    assert history.count('class="dot ended"') == 1


@pytest.mark.parametrize(("higher", "first"), [(True, 9), (False, 0)])
def test_the_evaluations_of_the_best_are_drawn(higher, first):
    trials = [trial(n, 0.1 * n + 0.05) for n in range(10)]
    found = re.search(r"auc by evaluation.*?</svg>", page(trials, objectives=(("auc", higher),)), re.S)[0]
    step = -1 if higher else 1
    assert re.findall(r"<title>trial (\d)</title>", found) == [str(first + step * i) for i in range(6)]


def test_two_objectives_are_shown_against_each_other():
    found = page(objectives=(("auc", True), ("latency_ms", False)), best=(1, 5))
    front = re.search(r"auc by latency_ms.*?</svg>", found, re.S)[0]
    assert (front.count("<circle"), front.count('class="dot s1"')) == (4, 2)


@pytest.mark.parametrize("trials", [[], TRIALS[3:4], TRIALS[:1], TRIALS[:2]], ids=["none", "failed", "one", "two"])
def test_a_search_that_has_hardly_begun_has_a_page(trials):
    best = tuple(t["number"] for t in trials if t["state"] == "complete")[:1]
    assert "Environment" in page(trials, best=best, importance={})


POINTS = [Point(f"trial {i}", {"lr": 10.0**-i, "model": "fm"}, i / 3, i / 3) for i in range(4)]


def test_a_thread_leaves_out_what_its_point_does_not_have():
    points = [*POINTS, Point("with", {"lr": 0.5, "model": "deepfm", "hidden": "[8]"}, 2.0, 1.0)]
    threads = [path.get("d") for path in parallel(points, AXES, "auc").iter("path")]
    assert sorted(d.count("L") for d in threads) == [2, 2, 2, 2, 3]


def test_a_contour_is_darkest_where_the_best_point_is():
    plot = contour(POINTS, Axis("lr", log=True), Axis("model", ("fm", "deepfm")))
    dots = {c.find("title").text: (float(c.get("cx")), float(c.get("cy"))) for c in plot.iter("circle")}

    def shade(name):
        x, y = dots[name]
        cells = (c for c in plot.iter("rect"))
        inside = next(
            c
            for c in cells
            if 0 <= x - float(c.get("x")) <= float(c.get("width"))
            and 0 <= y - float(c.get("y")) <= float(c.get("height"))
        )
        return inside.get("class")

    assert (shade("trial 3"), shade("trial 0")) == ("cell q4", "cell q0")


def test_equal_values_have_a_scale():
    assert len(list(scatter([(0.0, 0.5, "", "best"), (1.0, 0.5, "", "other")], "same", "x", "y").iter("circle"))) == 2
