"""What the server answers as HTML. Every text passes `text_of`: no document, name or error can be anything but words."""

from __future__ import annotations

import base64
import datetime
import html
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

CITED = re.compile(r"\[(\d{1,4})\]")
MARKS = {"$": "&#36;", "{": "&#123;", "}": "&#125;", "`": "&#96;"}
"""What stands for something in the templates that Gradio puts HTML into."""
CASES = 200
"""Questions of an evaluation that are shown."""
LONGEST = 20_000
"""Characters of one text."""
STATES = {"done": "good", "failed": "bad", "cancelled": "dim"}


def text_of(value: object) -> str:
    """A text as HTML that shows it."""
    escaped = html.escape(str(value)[:LONGEST], quote=True)
    return "".join(MARKS.get(one, one) for one in escaped)


def problem(text: str) -> str:
    """What went wrong."""
    return f'<div class="er-problem" role="alert"><pre>{text_of(text)}</pre></div>' if text else ""


def note(text: str) -> str:
    """What went well."""
    return f'<div class="er-note">{text_of(text)}</div>'


def table(heads: Sequence[str], rows: Iterable[tuple[str, Sequence[str]]], empty: str) -> str:
    """A table whose rows can be chosen.

    Args:
        heads: Of the columns.
        rows: Of each what is chosen with it, empty: nothing, and its cells as HTML.
        empty: What is said where there are none.
    """
    lines = [f"<tr{_pick(pick)}>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>" for pick, cells in rows]
    if not lines:
        return f'<p class="er-dim">{text_of(empty)}</p>'
    head = "".join(f"<th>{text_of(one)}</th>" for one in heads)
    return f'<table class="er-table"><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table>'


def tasks(found: Sequence[Mapping[str, Any]]) -> str:
    """What became of files."""

    def state(one: Mapping[str, Any]) -> str:
        kind = STATES.get(one["state"], "busy")
        share = f"<progress max='1' value='{float(one['progress']):.2f}'></progress> " if kind == "busy" else ""
        told = one["error"] or one["stage"] or ""
        return f'<span class="er-{kind}">{text_of(one["state"])}</span> {share}<small>{text_of(told)}</small>'

    rows = [
        (
            str(one["id"]),
            [text_of(one["id"]), text_of(one["source"]), _size(one["bytes"]), state(one), _outcome(one["report"])],
        )
        for one in found
    ]
    return table(["task", "file", "size", "state", "what came of it"], rows, "No files were put in yet.")


def documents(found: Sequence[Mapping[str, Any]]) -> str:
    """What a knowledge base has."""

    def known(one: Mapping[str, Any]) -> str:
        told = (f"{name}={'|'.join(map(str, values))}" for name, values in one["facts"].items())
        return text_of(", ".join(told))

    rows = [
        (str(one["id"]), [text_of(one["source"]), known(one), text_of(one["chunks"]), _when(one["changed"])])
        for one in found
    ]
    return table(["document", "known of it", "chunks", "written"], rows, "There are no documents yet.")


def chunks(found: Sequence[Mapping[str, Any]], chosen: str = "") -> str:
    """What a document says, in parts."""
    parts = []
    for one in found:
        number = str(one.get("id", ""))
        head = " › ".join(one["headings"])
        mark = " er-chosen" if number and number == chosen else ""
        parts.append(
            f'<div class="er-chunk{mark}"{_pick(number)}><div class="er-dim">{text_of(one["number"])} · {text_of(one["kind"])}'
            f'{" · " + text_of(head) if head else ""}{_places(one)}</div><div class="er-words">{text_of(one["text"])}</div></div>'
        )
    return "".join(parts) or '<p class="er-dim">No chunks.</p>'


def hits(found: Sequence[Mapping[str, Any]], seconds: float) -> str:
    """What a search found, with its scores by part."""
    most: dict[str, float] = {}
    for one in found:
        for kind, score in one["scores"].items():
            most[kind] = max(most.get(kind, 0.0), abs(score))
    parts = [f'<p class="er-dim">{len(found)} found in {1000 * seconds:.0f} ms</p>']
    for rank, one in enumerate(found, 1):
        bars = "".join(
            f'<span class="er-score"><b>{text_of(kind)}</b> {score:.4g}'
            f'<i style="width:{_percent(score, most[kind])}%"></i></span>'
            for kind, score in one["scores"].items()
        )
        via = one.get("via")
        beside = f'<div class="er-dim">by its {text_of(via["kind"])}: {text_of(via["text"])}</div>' if via else ""
        parts.append(
            f'<div class="er-hit"{_pick(pick_of(one))}><div><b>{rank}. {one["score"]:.4g}</b> {text_of(one["source"])}'
            f'{_places(one)}</div><div class="er-scores">{bars}</div>{beside}'
            f'<div class="er-words">{text_of(one["text"])}</div></div>'
        )
    return "".join(parts)


def talk(turns: Sequence[Mapping[str, Any]]) -> str:
    """What was said, with citations that can be chosen."""
    parts = []
    for place, turn in enumerate(turns):
        words = text_of(turn["text"])
        if turn["role"] == "user":
            parts.append(f'<div class="er-user"><div class="er-words">{words}</div></div>')
            continue
        cited = {str(one["number"]): one for one in turn.get("citations", ())}

        def button(found: re.Match[str], cited: Mapping[str, Any] = cited) -> str:
            one = cited.get(found.group(1))
            return (
                found.group()
                if one is None
                else f'<button class="er-cite"{_pick(pick_of(one))}>{found.group(1)}</button>'
            )

        words = CITED.sub(button, words)
        listed = "".join(
            f'<li><button class="er-cite"{_pick(pick_of(one))}>{number}</button> {text_of(one["source"])}{_places(one)}</li>'
            for number, one in cited.items()
        )
        below = f'<ol class="er-sources">{listed}</ol>' if listed else ""
        mark = turn.get("note", "")
        parts.append(
            f'<div class="er-answer" data-turn="{place}"><div class="er-words">{words}</div>{below}'
            f"{f'<small class=er-dim>{text_of(mark)}</small>' if mark else ''}</div>"
        )
    return f'<div class="er-talk">{"".join(parts)}</div>' if parts else '<p class="er-dim">Ask something.</p>'


def evaluations(found: Sequence[Mapping[str, Any]]) -> str:
    """What was measured, and is being."""

    def state(one: Mapping[str, Any]) -> str:
        kind = STATES.get(one["state"], "busy")
        share = f"<progress max='1' value='{float(one['progress']):.2f}'></progress>" if kind == "busy" else ""
        return f'<span class="er-{kind}">{text_of(one["state"])}</span> {share}'

    def means(one: Mapping[str, Any]) -> str:
        told = (f"{each['name']} {each['mean']:.3f}" for each in one.get("metrics", ()) if each["mean"] is not None)
        return text_of(", ".join(told) or one["error"] or "")

    rows = [
        (one["id"], [text_of(one["name"]), text_of(one["questions"]), state(one), means(one), _when(one["created"])])
        for one in found
    ]
    return table(["evaluation", "questions", "state", "means", "begun"], rows, "Nothing was measured yet.")


def evaluation(found: Mapping[str, Any]) -> str:
    """What came of one, and how it does beside another one."""
    report = found["report"]
    title = f"<h4>{text_of(found['name'])}</h4>"
    if report is None:
        return title + (problem(found["error"]) if found["error"] else note(f"It is {found['state']}."))
    means = [
        (
            "",
            [text_of(one["name"]), _number(one["mean"]), f"{_number(one['low'])} .. {_number(one['high'])}", _bar(one)],
        )
        for one in report["metrics"]
    ]
    parts = [title, table(["metric", "mean", f"{report['level']:.0%} interval", ""], means, "Nothing was measured.")]
    parts += [note(text) for text in report["notes"]]
    if "compared" in found:
        rows = [("", [text_of(one["name"]), *_difference(one)]) for one in found["compared"]]
        heads = ["metric", "before", "this one", "difference", "interval", "p", "better / worse"]
        parts += ["<h4>Beside the one chosen before</h4>", table(heads, rows, "They share no question.")]
    names = [one["name"] for one in report["metrics"]]
    cases = [
        ("", [text_of(one["question"]), *(_number(one["values"].get(name)) for name in names)])
        for one in report["cases"][:CASES]
    ]
    return "".join([*parts, "<h4>Questions</h4>", table(["question", *names], cases, "None.")])


def _difference(one: Mapping[str, Any]) -> list[str]:
    sure = one["low"] is not None and one["high"] is not None and not one["low"] <= 0 <= one["high"]
    kind = ("er-good" if one["difference"] > 0 else "er-bad") if sure else "er-dim"
    return [
        _number(one["first"]),
        _number(one["second"]),
        f'<span class="{kind}">{_number(one["difference"], "+")}</span>',
        f"{_number(one['low'], '+')} .. {_number(one['high'], '+')}",
        _number(one["p_corrected"]),
        f"{int(one['better'])} / {int(one['worse'])}",
    ]


def _bar(one: Mapping[str, Any]) -> str:
    """A mean with its interval, from 0 to 1."""
    if one["mean"] is None or not 0.0 <= one["mean"] <= 1.0 or one["low"] is None:
        return ""
    low, high, mean = (round(100 * min(max(one[key], 0.0), 1.0)) for key in ("low", "high", "mean"))
    return f'<span class="er-range"><i style="left:{low}%;width:{max(high - low, 1)}%"></i><b style="left:{mean}%"></b></span>'


def _number(value: float | None, sign: str = "") -> str:
    return "" if value is None else format(float(value), f"{sign}.3f")


def page(kind: str, content: bytes, title: str) -> str:
    """A page that a citation leads to, as a picture."""
    if kind not in ("image/png", "image/jpeg"):
        return problem("the page is no picture")
    source = f"data:{kind};base64,{base64.b64encode(content).decode()}"
    return f'<figure class="er-page"><figcaption>{text_of(title)}</figcaption><img alt="page" src="{source}"></figure>'


def passage(found: Mapping[str, Any]) -> str:
    """What stands around a citation of a file that has no pages."""
    parts = []
    for one in found["passages"]:
        chosen = " er-chosen" if one["marked"] else ""
        head = " › ".join([*one["headings"], *([f"line {int(one['line'])}"] if one["line"] else [])])
        words = f'<div class="er-words">{text_of(one["text"])}</div>'
        parts.append(f'<div class="er-chunk{chosen}"><div class="er-dim">{text_of(head)}</div>{words}</div>')
    return f'<figure class="er-page"><figcaption>{text_of(found["source"])}</figcaption>{"".join(parts)}</figure>'


def pick_of(hit: Mapping[str, Any]) -> str:
    """What is chosen with a hit: its document, page and chunk."""
    pages = sorted({place["page"] for place in hit["places"] if place["page"] is not None})
    return f"{hit['document']}/{pages[0] if pages else 1}/{hit['id']}"


def _pick(pick: str) -> str:
    return f' data-pick="{text_of(pick)}" tabindex="0"' if pick else ""


def _places(one: Mapping[str, Any]) -> str:
    pages = sorted({place["page"] for place in one["places"] if place["page"] is not None})
    lines = [place["line"] for place in one["places"] if place["line"] is not None]
    if pages:
        return f" · page {int(pages[0])}" if len(pages) == 1 else f" · pages {int(pages[0])}-{int(pages[-1])}"
    return f" · line {int(min(lines))}" if lines else ""


def _percent(score: float, most: float) -> int:
    return round(100 * min(abs(score) / most, 1.0)) if most else 0


def _size(count: int) -> str:
    return f"{count / 1048576:.1f} MB" if count >= 1048576 else f"{count / 1024:.1f} kB"


def _when(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M")


def _outcome(report: Mapping[str, Any]) -> str:
    if not report:
        return ""
    lost = f"; {len(report['lost'])} changes of people lost" if report["lost"] else ""
    return text_of(f"{report['outcome']}: {report['chunks']} chunks{lost}")
