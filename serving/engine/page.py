"""The page of a trace: asked of a running engine, or of one trace without any network.

Its script is the one that lies beside this file; a policy names it by its digest, so that no other one runs. What a trace holds
reaches it as JSON, and it puts texts into the page as texts alone.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, SubElement

from easyrec.report.pieces import document, html

HERE = Path(__file__)
FIELDS = (
    ("user_id", "user", {"required": "required", "placeholder": "4711"}),
    ("scene", "scene", {"placeholder": "the first"}),
    ("size", "items", {"type": "number", "min": "1", "max": "500"}),
    ("seed", "seed", {"type": "number", "min": "0", "value": "0"}),
    ("request_id", "request", {"placeholder": "a fresh one", "value": "trace"}),
)
TEXTS = (
    ("context", "columns of the request, as JSON", '{"hour": 9}'),
    ("user", "columns of the user, as JSON", '{"age": 31}'),
    (
        "parameters",
        "what if, as JSON: other values of the scene by their paths",
        '{"rank.score": "ctr", "recall.ann.count": 100}',
    ),
)


def policy(*, asks: bool) -> str:
    """What the page may do: run our script, and ask where it came from."""
    digest = base64.b64encode(hashlib.sha256(_file("page.js").encode()).digest()).decode()
    more = "; connect-src 'self'" if asks else ""
    return f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'{more}"


def trace_page(trace: Mapping[str, Any] | None = None) -> str:
    """The whole page.

    Args:
        trace: What it shows; None: it asks for that.
    """
    root, main = document("trace")
    head = root.find("head")
    assert head is not None
    for meta in head.iter("meta"):
        if meta.get("http-equiv") == "Content-Security-Policy":
            meta.set("content", policy(asks=trace is None))
    SubElement(head, "style").text = _file("page.css")
    header = SubElement(main, "header")
    SubElement(header, "h1").text = "Why these items?"
    about = (
        "Each candidate's way through the stages: who recalled it, its scores, why it was left out, where it stands."
    )
    SubElement(header, "p").text = about
    if trace is None:
        _form(main)
    SubElement(main, "p", {"class": "told", "id": "told", "role": "status"}).text = ""
    _found(main)
    if trace is not None:
        # Inside of a script, HTML knows no escapes: `<` is written as JSON writes it.
        told = json.dumps(trace, ensure_ascii=False, default=str).replace("<", "\\u003c")
        SubElement(main, "script", {"type": "application/json", "id": "held"}).text = told
    SubElement(main, "script").text = _file("page.js")
    return html(root)


def _form(main: Element) -> None:
    form = SubElement(main, "form", {"class": "ask", "id": "asking"})
    for name, told, more in FIELDS:
        label = SubElement(form, "label")
        label.text = told
        SubElement(label, "input", {"name": name, "autocomplete": "off", **more})
    label = SubElement(form, "label")
    label.text = "admin's token"
    SubElement(label, "input", {"id": "token", "type": "password", "autocomplete": "off"})
    for name, told, example in TEXTS:
        label = SubElement(form, "label", {"class": "wide"} if name == "parameters" else {})
        label.text = told
        SubElement(label, "textarea", {"name": name, "placeholder": example, "spellcheck": "false"}).text = ""
    SubElement(form, "button", {"type": "submit"}).text = "trace"


def _found(main: Element) -> None:
    found = SubElement(main, "div", {"id": "found", "hidden": "hidden"})
    SubElement(found, "div", {"id": "about"}).text = ""
    SubElement(found, "p", {"class": "told", "id": "degraded"}).text = ""
    SubElement(found, "div", {"class": "funnel", "id": "funnel"}).text = ""
    tools = SubElement(found, "div", {"class": "tools"})
    label = SubElement(tools, "label")
    label.text = "find "
    SubElement(label, "input", {"id": "find", "type": "search", "placeholder": "an item", "autocomplete": "off"})
    label = SubElement(tools, "label")
    label.text = "what became of it "
    SubElement(label, "select", {"id": "ended"}).text = ""
    SubElement(tools, "span", {"id": "many"}).text = ""
    card = SubElement(found, "div", {"class": "card scroll"})
    SubElement(card, "table", {"id": "ways"}).text = ""
    dialog = SubElement(main, "dialog", {"id": "details"})
    SubElement(dialog, "button", {"id": "close", "type": "button"}).text = "close"
    SubElement(dialog, "h3", {"id": "item"}).text = ""
    SubElement(dialog, "pre", {"id": "all"}).text = ""


def _file(name: str) -> str:
    return HERE.with_name(name).read_text(encoding="utf-8")
