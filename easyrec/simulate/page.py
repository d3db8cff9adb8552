"""The report of a simulation: one HTML file without a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import SubElement

from easyrec.report.pieces import add_card, add_legend, add_section, add_table, add_tile, document, html
from easyrec.report.svg import Series, line_chart
from easyrec.simulate.config import SimulateConfig
from easyrec.simulate.figures import COLUMNS, NEW_DAYS


def simulate_page(config: SimulateConfig, policy: str, days: Sequence[Mapping[str, Any]]) -> str:
    """The whole page.

    Args:
        config: The simulation.
        policy: Who answered.
        days: The figures of each day.
    """
    world = config.world
    root, main = document(f"{config.name}: simulation")
    header = SubElement(main, "header")
    SubElement(header, "h1").text = f"{config.name}: {len(days)} simulated day{'s' * (len(days) != 1)}"
    about = [f"{world.users:,} users", f"{world.num_items:,} items", f"seed {world.seed}", f"answered by {policy}"]
    SubElement(header, "p").text = " · ".join([*about, "easyrec simulate"])
    tiles = SubElement(main, "div", {"class": "tiles"})
    weight = sum(day["requests"] for day in days) or 1

    def mean(name: str) -> float:
        return float(sum(day[name] * day["requests"] for day in days) / weight)

    for title, value in (
        ("CTR", f"{100 * mean('ctr'):.2f} %"),
        ("expected CTR", f"{100 * mean('expected_ctr'):.2f} %"),
        ("best CTR", f"{100 * mean('oracle_ctr'):.2f} %"),
        ("regret", f"{100 * mean('regret'):.1f} %"),
        ("requests", f"{weight:,}"),
        ("errors", f"{sum(day['errors'] for day in days):,}"),
    ):
        add_tile(tiles, title, value)
    cards = add_section(main, "Course", "cards")
    mark = None if world.shift is None else (float(world.shift.day), "tastes shift")
    for title, unit, names in _CHARTS:
        card = add_card(cards, title)
        xs = [float(day["day"]) for day in days]
        factor = 100.0 if unit == "%" else 1.0
        lines = [
            Series(
                COLUMNS[name], xs, [factor * day[name] for day in days], dashed=name == "oracle_ctr", dots=len(xs) < 30
            )
            for name in names
        ]
        if len(lines) > 1:
            add_legend(card, [line.name for line in lines])
        card.append(line_chart(lines, f"{title} by day", "day", unit, mark=mark))
    note = (
        "Expected CTR is what the lists that were shown are worth by the world's own chances, without the noise of single "
        "clicks; best CTR is what the best lists of the same moments would have been worth; regret is the share of that "
        f"which was missed. New items are younger than {NEW_DAYS} days; coverage is the share of items that were shown at "
        "all; diversity is how many categories a list has for each item."
    )
    table = add_section(main, "Days", "card")
    add_table(table, list(COLUMNS.values()), [cells(day) for day in days], text=0)
    SubElement(table, "p").text = note
    faults = [(str(day["day"]), fault) for day in days for fault in day.get("faults", ())]
    if faults:
        add_table(add_section(main, "What went wrong", "card"), ["day", "fault"], faults, text=2)
    rows = [[name, str(value)] for name, value in world.model_dump(mode="json").items() if value is not None]
    rows += [[f"drive.{name}", str(value)] for name, value in config.drive.model_dump(exclude={"token"}).items()]
    add_table(add_section(main, "World", "card"), [], rows, text=2)
    return html(root)


def cells(day: Mapping[str, Any]) -> list[str]:
    """A day as a row of a table."""
    return [_FORMS.get(name, "{:,}").format(day[name]) for name in COLUMNS]


_CHARTS = (
    ("Clicks of positions", "%", ("ctr", "expected_ctr", "oracle_ctr")),
    ("Regret", "%", ("regret",)),
    ("New items among those shown", "%", ("new_share",)),
    ("Coverage and diversity", "%", ("coverage", "diversity")),
    ("Latency", "ms", ("p50_ms", "p99_ms")),
)
_FORMS = {
    **dict.fromkeys(("ctr", "expected_ctr", "oracle_ctr"), "{:.2%}"),
    **dict.fromkeys(("regret", "new_share", "coverage", "diversity"), "{:.1%}"),
    **dict.fromkeys(("p50_ms", "p99_ms"), "{:.1f}"),
    "day": "{}",
}
