"""The report of a feature selection: one file, no script, every feature, and names that are no markup."""

import re
from html.parser import HTMLParser

import pytest

from easyrec.report.select_page import select_page

EVIL = "</style><script>alert('x')</script><img src=//evil.example>"


def feature(name, worth, kept=True, reason="it is", dims=(8, 4), **more):
    return {
        "name": name,
        "importance": {"permutation": worth, "gates": abs(worth)} | more,
        "kept": kept,
        "reason": reason,
        "error": 0.001,
        "memory_mb": 0.5,
        "latency_ms": 0.01,
        "embedding_dim": dims[0],
        "proposed_dim": dims[1],
    }


ROWS = [feature("user", 0.1), feature("item", 0.04), feature("noise", -0.001, False, "noise: worth nothing")]


def page(rows=ROWS, name="s", methods=("permutation", "gates"), config="a: 1", null=(-0.01, 0.0, 0.02), again=None):
    told = [
        {
            "type": kind,
            "unit": "drop of auc",
            "null": list(null),
            "bounds": {row["name"]: 0.02 for row in rows} if null else {},
            "base": 0.8,
            "seconds": 3.0,
        }
        for kind in methods
    ]
    found = {
        "name": name,
        "rows": rows,
        "methods": told,
        "second_look": again,
        "pairs": [["item", "item_again", 1.0]],
        "verified": {"all features": {"auc": 0.8, "seconds": 10.0}, "selected": {"auc": 0.801, "seconds": 5.0}},
        "metric": "auc",
        "config": config,
        "environment": {"copies": "3"},
    }
    return select_page(found)


def test_it_is_one_file_without_script_and_what_was_named_is_text():
    tags = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attrs: tags.append((tag, dict(attrs)))
    parser.feed(page(rows=[feature(EVIL, 0.1, reason=EVIL), *ROWS], name=EVIL, config=EVIL))
    assert not {"script", "img", "link"} & {tag for tag, _ in tags}
    assert not [value for _, given in tags for value in given.values() if value and "//" in value]


def test_what_is_worth_most_has_the_longest_bar_and_removed_ones_another_colour():
    bars = re.findall(
        r'<rect class="bar (s\d)" [^>]*width="([\d.]+)"[^>]*><title>(\w+):', page(methods=("permutation",))
    )
    assert [(name, colour) for colour, _, name in bars] == [("user", "s0"), ("item", "s0"), ("noise", "s1")]
    widths = {name: float(width) for _, width, name in bars}
    assert widths["user"] / widths["item"] == pytest.approx((0.1 / 0.04) ** 0.5, rel=0.02)  # square roots


def test_numbers_before_and_after_are_told():
    text = page()
    assert "0.80000" in text
    assert "0.80100" in text
    assert ">2.00<" in text  # times as fast
    assert "noise: worth nothing" in text


def test_methods_agree_by_their_ranks():
    reverse = [feature(f"f{i}", 0.1 * i, gates=-0.1 * i) for i in range(1, 5)]
    assert ">-1.00<" in page(rows=reverse)
    assert ">1.00<" in page(rows=[feature(f"f{i}", 0.1 * i, gates=0.2 * i) for i in range(1, 5)])


def test_before_anything_is_measured_there_is_a_page():
    assert "Chosen config" in page(rows=[feature("user", 0.0) | {"importance": {}}], methods=())
    assert "shuffled copies" not in page(null=())


def test_a_second_look_has_bars_of_what_was_in_it():
    again = {
        "unit": "drop of auc",
        "importance": {"noise": 0.03},
        "null": [0.0],
        "bounds": {"noise": 0.01},
        "seconds": 4.0,
    }
    text = page(methods=("permutation",), again=again)
    assert re.findall(r"<title>(\w+): ([\d.]+)<", text.partition("second look: ")[2])[0] == ("noise", "0.03")
    assert "second look" not in page()
