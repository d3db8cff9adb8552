"""Evaluation: ask a set of questions whose answers are known, see what came of it, and compare two settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gradio as gr
import yaml

from rag.ui import shown
from rag.ui.api import Api, Failed, kb
from rag.ui.tabs import AGAIN, Head, picked, picking, telling

LETTERS = 4 << 20
"""Of a set."""
METRICS = "hit_rate@5 mrr@10 ndcg@10"
"""The same whatever is set, so that settings can be compared; none: what the server's config says."""
EXAMPLE = '{"question": "How long does a refund take?", "references": [{"source": "refunds.md", "quote": "five days"}]}'


def tab(head: Head) -> None:
    """Put it here."""
    work = _Evaluation(head.api)
    chosen, former = gr.State(""), gr.State("")
    with gr.Row(equal_height=False):
        with gr.Column(scale=2):
            lines = gr.Textbox(
                label="Questions (JSON lines, as `easyrec rag qagen` writes)",
                lines=6,
                max_lines=12,
                placeholder=EXAMPLE,
                elem_id="eval-questions",
            )
            file = gr.File(label="or a file of them", file_count="single", elem_id="eval-file", height=90)
            name = gr.Textbox(label="Called", placeholder="k 5", elem_id="eval-name")
            settings = gr.Textbox(
                label="Other settings (YAML)",
                lines=3,
                placeholder="search: {k: 3, mode: keyword}",
                elem_id="eval-settings",
            )
            metrics = gr.Textbox(label="Measured", value=METRICS, elem_id="eval-metrics")
            answers = gr.Checkbox(label="Answer and judge too (asks the model)", elem_id="eval-answers")
            run = gr.Button("Run", variant="primary", elem_id="eval-run")
            told = gr.HTML(elem_id="eval-told")
        with gr.Column(scale=3):
            gr.Markdown("Choose one to see it; the one that was chosen before is what it is compared with.")
            runs = picking("evaluations")
            result = gr.HTML(elem_id="eval-result")
    timer = gr.Timer(1.0, active=False)
    private = {"api_visibility": "private"}
    head.begun(telling(work.look, 2), [runs, timer])
    head.forget([told, result, chosen, former], "", "", "", "")
    timer.tick(telling(work.look, 2), [head.key, head.base], [runs, timer], show_progress="hidden", **private)
    asked = [head.key, head.base, lines, file, name, settings, metrics, answers]
    run.click(telling(work.begin, 3, {1: None}), asked, [told, file, timer], **private)
    runs.select(work.choose, [head.key, head.base, chosen], [result, chosen, former], **private)


class _Evaluation:
    """What the parts of the tab do.

    Args:
        api: Asks the server.
    """

    def __init__(self, api: Api) -> None:
        self._api = api

    def look(self, key: str, base: str | None) -> tuple[Any, ...]:
        if not base:
            return "", gr.Timer(active=False)
        found = self._api.ask(key, "GET", f"{kb(base)}/evaluations")["data"]
        running = any(one["state"] in ("waiting", "running") for one in found)
        return shown.evaluations(found), gr.Timer(active=running)

    def begin(
        self,
        key: str,
        base: str | None,
        lines: str,
        file: str | None,
        name: str,
        settings: str,
        metrics: str,
        answers: bool,
    ) -> tuple[Any, ...]:
        text = lines
        if file:
            path = Path(file)
            try:
                with path.open(encoding="utf-8") as opened:
                    text = opened.read(LETTERS + 1)
            except UnicodeDecodeError:
                raise Failed("the file is no text in UTF-8") from None
            except OSError:
                raise Failed(AGAIN) from None
            finally:
                path.unlink(missing_ok=True)
        try:
            other = yaml.safe_load(settings[:100_000]) or {}
        except yaml.YAMLError as error:
            raise Failed(f"the settings are no YAML: {error}") from None
        body = {"questions": questions_in(text), "name": name.strip(), "settings": other, "metrics": metrics.split()}
        body["answers"] = answers
        self._api.ask(key, "POST", f"{kb(base)}/evaluations", body)
        return shown.note(f"{len(body['questions'])} questions are being asked."), None, gr.Timer(active=True)

    def choose(self, key: str, base: str | None, former: str, event: gr.EventData) -> tuple[Any, ...]:
        number = picked(event)
        against = {"against": former} if former and former != number else {}
        try:
            found = self._api.ask(key, "GET", f"{kb(base)}/evaluations/{number}", params=against)
        except Failed as failed:
            return shown.problem(str(failed)), number, former
        return shown.evaluation(found), number, former


def questions_in(text: str) -> list[Any]:
    """JSON lines as what they say.

    Raises:
        Failed: They are none.
    """
    if len(text) > LETTERS:
        raise Failed(f"a set has at most {LETTERS:,} letters")
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                found.append(json.loads(line))
            except (ValueError, RecursionError):
                raise Failed(f"line {number} is no JSON") from None
    if not found:
        raise Failed("give some questions first, a JSON object a line")
    return found
