"""The store's pages. Texts of users are put into a tree, which escapes them; only the page of the lineage has a script."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element, SubElement

import yaml

from easyrec.lineage.graph import Graph
from easyrec.lineage.page import add_lineage, allow_script
from easyrec.report.pieces import add_card, add_section, add_table, add_tile, document, duration, html
from easyrec.store.definitions import StoreConfig, View
from easyrec.store.quality.checks import Checked
from easyrec.store.quality.gate import said
from easyrec.store_ui.state import State, ViewState, definition, is_open, is_redacted

PLACES = {"/": "views", "/quality": "quality", "/monitors": "monitors", "/lineage": "lineage", "/versions": "versions"}
LOOK = """
nav { display: flex; gap: 18px; margin: 10px 0 0; font-size: 14.5px; } a { color: var(--s0); }
nav a[aria-current] { color: var(--ink); font-weight: 650; text-decoration: none; }
form.ask { display: flex; gap: 8px; align-items: end; margin: 4px 0 10px; }
form.ask input, form.ask button { font: inherit; padding: 4px 10px; border: 1px solid var(--line); border-radius: 6px;
  background: var(--card); color: var(--ink); }
.bad { color: var(--s1); font-weight: 650; } .fine { color: var(--s2); } td.wrap { overflow-wrap: anywhere; }
"""
BAD = ("failed", "warned", "set aside")


def views_page(state: State) -> str:
    """All views: what is published of them, how old it is, and the last verdict."""
    root, main = _page(state.config, "/")
    found, now = state.views(), state.clock()
    tiles = SubElement(main, "div", {"class": "tiles"})
    add_tile(tiles, "views", str(len(found)))
    add_tile(tiles, "published", str(sum(one.generation is not None for one in found.values())))
    add_tile(tiles, "rows", f"{sum(one.rows or 0 for one in found.values()):,}")
    add_tile(tiles, "failed checks", str(sum(_verdict(one) == "failed" for one in found.values())))
    add_tile(tiles, "online store", state.config.online.type)
    card = add_section(main, "Views", "card")
    head = [
        "view",
        "entity",
        "type",
        "owner",
        "quality",
        "fields",
        "ttl",
        "generation",
        "rows",
        "published",
        "newest event",
    ]
    table = add_table(card, head, [], text=5)
    for view in state.config.views:
        one = found[view.name]
        row = SubElement(table, "tr")
        cell = SubElement(row, "td", {"class": "name"})
        SubElement(cell, "a", {"href": f"/views/{view.name}"}).text = view.name
        for text in (view.entity, view.type, view.owner):
            SubElement(row, "td").text = text
        _verdict_cell(row, one.checked)
        ttl = "" if view.ttl is None else duration(view.ttl)
        for text in (str(len(view.fields)), ttl, *_published(one, now)):
            SubElement(row, "td", {"class": "n"}).text = text
    entities = add_section(main, "Entities and models", "cards")
    card = add_card(entities, "Entities")
    add_table(
        card, ["entity", "join id", ""], [[e.name, e.join_id, e.description] for e in state.config.entities], text=3
    )
    if state.config.models:
        rows = []
        for model in state.config.models:
            columns = state.config.columns(model)
            rows.append(
                [
                    model.name,
                    model.owner,
                    ", ".join(dict.fromkeys(v.name for v, _ in columns.values())),
                    str(len(columns)),
                ]
            )
        add_table(add_card(entities, "Models"), ["model", "owner", "views", "features"], rows, text=3)
    return html(root)


def view_page(state: State, view: View, key: str | None, found: dict[str, Any] | None, error: str = "") -> str:
    """One view: fields, values of a key, definition, verdicts.

    Args:
        state: Of the store.
        view: It.
        key: What was asked for; None: nothing was.
        found: What the view holds of it.
        error: Why nothing could be looked up.
    """
    root, main = _page(state.config, "", view.name)
    join_id = state.config.entity(view.entity).join_id
    one, now = state.views()[view.name], state.clock()
    facts = ["generation", "rows", "published", "newest event"]
    tiles = SubElement(main, "div", {"class": "tiles"})
    for name, text in zip(facts, _published(one, now), strict=True):
        add_tile(tiles, name, text or "none")
    card = add_section(main, "Values of a key", "card")
    form = SubElement(card, "form", {"class": "ask", "method": "get", "action": f"/views/{view.name}"})
    label = SubElement(form, "label")
    label.text = f"{join_id} "
    SubElement(label, "input", {"name": "key", "value": key or "", "autocomplete": "off", "maxlength": "500"})
    SubElement(form, "button", {"type": "submit"}).text = "show"
    if error:
        SubElement(card, "p", {"class": "bad"}).text = error
    elif key is not None and found is None:
        SubElement(card, "p").text = f"no row of {join_id} '{key}' that is young enough"
    table = add_table(card, ["field", "type", "description", *([f"value of '{key}'"] if found else [])], [], text=4)
    described = {field.name: field.description for field in view.fields}
    for name, kind in view.types.items():
        row = SubElement(table, "tr")
        SubElement(row, "td", {"class": "name"}).text = name
        SubElement(row, "td", {"class": "name"}).text = kind + (", redacted" if is_redacted(view, name) else "")
        SubElement(row, "td").text = described.get(name, "")
        if found:
            SubElement(row, "td", {"class": "wrap"}).text = _value(found[name])
    SubElement(add_section(main, "Definition", "card"), "pre").text = yaml.safe_dump(
        definition(view), sort_keys=False, allow_unicode=True, width=110
    )
    checked = state.checks.latest(view.name)
    if checked:
        _verdicts(main, checked)
    return html(root)


def quality_page(state: State) -> str:
    """The last verdict on each view that expects something, result by result."""
    root, main = _page(state.config, "/quality")
    empty = True
    for view in state.config.views:
        latest = state.checks.latest(view.name)
        if not view.expect and not latest:
            continue
        empty = False
        SubElement(
            SubElement(add_section(main, view.name, "card"), "p"), "a", {"href": f"/views/{view.name}"}
        ).text = f"{len(view.expect)} expectations"
        if latest:
            _verdicts(main, latest, title="")
    if empty:
        SubElement(add_section(main, "Quality", "card"), "p").text = "no view expects anything: give one 'expect'"
    return html(root)


READS = {
    "rate": "reads/s",
    "p50_ms": "p50 ms",
    "p95_ms": "p95 ms",
    "p99_ms": "p99 ms",
    "hits": "hits",
    "misses": "misses",
    "expired": "expired",
    "defaulted": "defaulted",
}
"""What servers that read the store tell of a view, with its name here."""


def monitors_page(state: State) -> str:
    """How old views are beside their ttl, and what servers that read them have counted."""
    root, main = _page(state.config, "/monitors")
    found, now = state.views(), state.clock()
    head = ["view", "state", "newest event", "ttl", "published", "rows", "being written for"]
    card = add_section(main, "Freshness", "card")
    table = add_table(card, head, [], text=2)
    for view in state.config.views:
        one = found[view.name]
        old = one.newest is not None and view.ttl is not None and now - one.newest > view.ttl
        word = "not published" if one.generation is None else "expired" if old else "published"
        row = SubElement(table, "tr")
        SubElement(row, "td", {"class": "name"}).text = view.name
        SubElement(row, "td", {"class": "fine" if word == "published" else "bad"}).text = word
        _, rows, published, newest = _published(one, now)
        ttl = "" if view.ttl is None else duration(view.ttl)
        writing = "" if one.writing is None else duration(max(now - one.writing, 0.0))
        for text in (newest, ttl, published, rows, writing):
            SubElement(row, "td", {"class": "n"}).text = text
    for address, told in state.reads().items():
        card = add_section(main, f"Reads by {address}", "card")
        if isinstance(told, str):
            SubElement(card, "p", {"class": "bad"}).text = told
            continue
        lines = [
            [str(model), str(view), *(_number(numbers.get(key)) for key in READS)]
            for model, views in _mapping(told.get("models")).items()
            for view, numbers in ((view, _mapping(numbers)) for view, numbers in _mapping(views).items())
        ]
        add_table(card, ["model", "view", *READS.values()], lines, text=2)
    if not state.config.ui.stats:
        told_how = "name the servers that read the store to see what they count: ui: {stats: [http://127.0.0.1:8010]}"
        SubElement(add_section(main, "Reads", "card"), "p").text = told_how
    return html(root)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _number(value: Any) -> str:
    return f"{value:,.4g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else ""


def versions_page(state: State) -> str:
    """What was applied, one after another."""
    root, main = _page(state.config, "/versions")
    versions = state.versions()
    if not versions:
        SubElement(add_section(main, "Versions", "card"), "p").text = "nothing was applied yet: easyrec store apply"
    for version, changed in versions:
        card = add_section(main, f"Version {version.number}", "card")
        SubElement(card, "p").text = " · ".join(filter(None, [_time(version.applied), version.hash[:12], version.note]))
        rows = []
        for change in changed:
            hidden = not is_open(change)
            rows.append(
                [change.kind, change.what, *(["", ""] if hidden else [change.before, change.after]), change.breaks]
            )
        add_table(card, ["", "what", "before", "after", "breaks"], rows, text=5)
    return html(root)


def lineage_page(state: State, graph: Graph) -> str:
    """The lineage, to be filtered and clicked."""
    root, main = _page(state.config, "/lineage")
    allow_script(root)
    add_lineage(main, graph)
    return html(root)


def login_page(project: str, *, wrong: bool) -> str:
    """Where the token is asked for."""
    root, main = document(f"{project}: feature store")
    _look(root)
    SubElement(SubElement(main, "header"), "h1").text = f"{project}: feature store"
    card = add_section(main, "Sign in", "card")
    form = SubElement(card, "form", {"class": "ask", "method": "post", "action": "/login"})
    label = SubElement(form, "label")
    label.text = "token "
    SubElement(label, "input", {"name": "token", "type": "password", "autocomplete": "current-password"})
    SubElement(form, "button", {"type": "submit"}).text = "sign in"
    if wrong:
        SubElement(card, "p", {"class": "bad"}).text = "this is not the token"
    return html(root)


def error_page(config: StoreConfig, text: str) -> str:
    """What went wrong."""
    root, main = _page(config, "")
    SubElement(add_section(main, "This cannot be shown", "card"), "p", {"class": "bad"}).text = text
    return html(root)


# ------------------------------------------------------------------------------------------- parts


def _page(config: StoreConfig, place: str, title: str = "") -> tuple[Element, Element]:
    root, main = document(f"{config.project}: {title or PLACES.get(place, 'feature store')}")
    _look(root)
    header = SubElement(main, "header")
    SubElement(header, "h1").text = title or f"{config.project}: feature store"
    nav = SubElement(header, "nav")
    for path, name in PLACES.items():
        link = SubElement(nav, "a", {"href": path})
        link.text = name
        if path == place:
            link.set("aria-current", "page")
    return root, main


def _look(root: Element) -> None:
    head = root.find("head")
    assert head is not None
    for meta in list(head.iter("meta")):
        if meta.get("http-equiv") == "Content-Security-Policy":
            meta.set("content", f"{meta.get('content')}; form-action 'self'")
    SubElement(head, "style").text = LOOK


def _verdicts(main: Element, latest: Sequence[Checked], title: str = "Quality") -> None:
    """The results of the last verdict, and those before in short."""
    cards = add_section(main, title, "cards") if title else SubElement(main, "div", {"class": "cards"})
    last = latest[0]
    card = add_card(cards, f"{last.verdict}, {last.why} of {_time(last.at)}, {last.rows:,} rows")
    table = add_table(card, ["expected", "", "found"], [], text=3)
    for result in last.results:
        row = SubElement(table, "tr")
        SubElement(row, "td").text = result.expected
        SubElement(row, "td", {"class": "bad" if result.status in BAD else "fine"}).text = result.status
        SubElement(row, "td").text = said(result)
    if last.file:
        SubElement(card, "p").text = f"{last.set_aside:,} rows are in {last.file}"
    rows = [[_time(one.at), one.why, one.verdict, f"{one.rows:,}", f"{one.set_aside:,}"] for one in latest]
    add_table(add_card(cards, "Verdicts"), ["time", "", "verdict", "rows", "set aside"], rows, text=3)


def _verdict(one: ViewState) -> str:
    return "" if one.checked is None else one.checked.verdict


def _verdict_cell(row: Element, checked: Checked | None) -> None:
    verdict = "" if checked is None else checked.verdict
    cell = SubElement(row, "td", {"class": "fine" if verdict == "passed" else "bad" if verdict else ""})
    cell.text = verdict


def _published(one: ViewState, now: float) -> list[str]:
    if one.generation is None:
        return ["", "", "", ""]
    newest = "" if one.newest is None else f"{duration(max(now - one.newest, 0.0))} ago"
    published = f"{duration(max(now - (one.published or now), 0.0))} ago"
    return [str(one.generation), f"{one.rows:,}", published, newest]


def _value(value: Any) -> str:
    if value is None:
        return "null"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _time(seconds: float) -> str:
    return f"{datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc):%Y-%m-%d %H:%M:%S} UTC"
