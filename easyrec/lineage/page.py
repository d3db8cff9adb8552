"""The graph as one HTML page that needs no network: columns by kind, to be filtered and clicked.

Its script is the one that lies beside this file; a policy in the page names it by its digest, so that no other one runs.
What the graph holds reaches it as JSON, and it puts texts into the page as texts alone.
"""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement

from easyrec.lineage.graph import KINDS, Graph
from easyrec.report.pieces import document, html

HERE = Path(__file__)
NOTE = "Click a name to see what it is made of and what is made of it; click it again to see everything."


def lineage_page(graph: Graph, title: str) -> str:
    """The whole page."""
    root, main = document(title)
    allow_script(root)
    header = SubElement(main, "header")
    SubElement(header, "h1").text = title
    add_lineage(main, graph)
    return html(root)


def allow_script(root: Element) -> None:
    """Let the page run our script, and give it its looks."""
    head = root.find("head")
    assert head is not None
    for meta in head.iter("meta"):
        if meta.get("http-equiv") == "Content-Security-Policy":
            meta.set("content", f"{meta.get('content')}; script-src {script_source()}")
    SubElement(head, "style").text = HERE.with_name("page.css").read_text(encoding="utf-8")


def script_source() -> str:
    """What a policy calls the script."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(_script().encode()).digest()).decode()}'"


def add_lineage(main: Element, graph: Graph) -> None:
    """Put the graph into a page that `allow_script` was called for."""
    tools = SubElement(main, "form", {"class": "tools", "id": "tools"})
    label = SubElement(tools, "label")
    label.text = "find "
    SubElement(label, "input", {"id": "find", "type": "search", "placeholder": "part of a name", "autocomplete": "off"})
    for kind, called in KINDS.items():
        if graph.of_kind(kind):
            label = SubElement(tools, "label", {"class": "kind"})
            box = SubElement(label, "input", {"type": "checkbox", "name": kind, "checked": "checked"})
            box.tail = f" {called}"
    label = SubElement(tools, "label")
    label.text = "model "
    choice = SubElement(label, "select", {"id": "model"})
    SubElement(choice, "option", {"value": ""}).text = "all"
    for node in graph.of_kind("model"):
        SubElement(choice, "option", {"value": node.id}).text = node.shown
    removal = SubElement(tools, "label")
    box = SubElement(removal, "input", {"type": "checkbox", "id": "gone"})
    box.tail = " as if it were removed"
    SubElement(main, "p", {"class": "note"}).text = NOTE
    SubElement(main, "p", {"class": "told", "id": "told", "role": "status"}).text = ""
    stage = SubElement(main, "div", {"class": "stage", "id": "stage"})
    SubElement(stage, "svg", {"class": "threads", "id": "threads", "aria-hidden": "true"})
    columns = SubElement(stage, "div", {"class": "columns", "id": "columns"})
    for kind, called in KINDS.items():
        nodes = graph.of_kind(kind)
        if not nodes:
            continue
        column = SubElement(columns, "section", {"class": "column", "data-kind": kind})
        SubElement(column, "h2").text = f"{called} ({len(nodes)})"
        groups: dict[str, Element] = {}
        for node in nodes:
            if node.group not in groups or not node.name:
                groups[node.group] = SubElement(column, "div", {"class": "group", "data-group": node.group})
                if node.name:
                    SubElement(groups[node.group], "h3").text = node.group
            button = SubElement(groups[node.group], "button", {"type": "button", "class": "node", "data-id": node.id})
            button.text = node.name or node.group
            button.set("title", "\n".join([node.shown, *(f"{key}: {value}" for key, value in node.facts.items())]))
    SubElement(main, "div", {"class": "card facts", "id": "facts", "hidden": "hidden"})
    # Inside of a script, HTML knows no escapes: `<` is written as JSON writes it.
    told = json.dumps(graph.told(), ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    SubElement(main, "script", {"type": "application/json", "id": "graph"}).text = told
    SubElement(main, "script").text = _script()


def _script() -> str:
    return HERE.with_name("page.js").read_text(encoding="utf-8")
