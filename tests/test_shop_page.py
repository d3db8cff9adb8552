"""The page of the shop names every column with its type, and every term with its spread."""

import re
from pathlib import Path

import pytest

from easyrec.data.shop.balance import SPREAD
from easyrec.data.shop.log import SCHEMA

PAGE = (Path(__file__).parents[1] / "docs" / "reference" / "shop.md").read_text(encoding="utf-8")


def rows(heads):
    """The rows of the table with these heads."""
    table = PAGE.split(f"\n| {' | '.join(heads)} |")[1].split("\n\n")[0]
    return [[cell.strip(" `") for cell in line.strip("| ").split(" | ")] for line in table.splitlines()[2:]]


def shown(dtype):
    """A type as the page writes it."""
    text = re.sub(r"list<\w+: (\w+)>", r"list of \1", str(dtype))
    return re.sub(r"map<(\w+), (\w+)>", r"map of \1 to \2", text).replace("float", "float32")


def test_the_page_lists_the_columns_of_the_schema():
    listed = [row[:2] for row in rows(["column", "type", "side"])]
    assert sorted(listed) == sorted([field.name, shown(field.type)] for field in SCHEMA)


def test_the_page_lists_the_spread_of_every_term():
    assert {row[0]: float(row[1]) for row in rows(["term", "spread", "what it is"])} == pytest.approx(SPREAD)


def test_the_page_has_the_formula_of_every_term():
    assert [row[0] for row in rows(["term", "x"])] == list(SPREAD)


def test_the_config_that_others_lie_over_is_the_one_that_is_shipped():
    shown = PAGE.partition("## The config that others lie over")[2].partition("```yaml\n")[2].partition("```")[0]
    assert shown == (Path(__file__).parents[1] / "configs" / "shop" / "shop.yaml").read_text(encoding="utf-8")
