"""Chat: answers as they come, with citations that open the page they name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gradio as gr

from rag.ui import shown
from rag.ui.api import Api, Failed, kb
from rag.ui.tabs import Head, page_of, picked, picking
from rag.ui.tabs.upload import facts_in

TURNS = 40
"""That are kept, and sent with the next question."""


def tab(head: Head) -> None:
    """Put it here."""
    work = _Chat(head.api)
    turns = gr.State([])
    with gr.Row(equal_height=False):
        with gr.Column(scale=3):
            talk = picking("talk", shown.talk([]))
            told = gr.HTML(elem_id="chat-told")
            question = gr.Textbox(label="Question", lines=2, elem_id="question")
            with gr.Row():
                ask = gr.Button("Ask", variant="primary", elem_id="ask")
                stop = gr.Button("Stop", elem_id="stop")
                clear = gr.Button("Begin anew", elem_id="clear")
            with gr.Row():
                only = gr.Checkbox(label="Show what is found, without an answer", elem_id="only")
                where = gr.Textbox(label="Filter", placeholder="team=shop", elem_id="chat-filter")
        with gr.Column(scale=2):
            page = gr.HTML(elem_id="page")

    private = {"api_visibility": "private"}
    inputs, outputs = [head.key, head.base, turns, question, only, where], [talk, turns, told, question]
    running = [
        ask.click(work.answer, inputs, outputs, show_progress="hidden", **private),
        question.submit(work.answer, inputs, outputs, show_progress="hidden", **private),
    ]
    stop.click(None, cancels=running, **private)
    clear.click(work.anew, None, outputs, cancels=running, **private)
    head.forget([*outputs, page], *work.anew(), "")
    talk.select(work.open_page, [head.key, head.base], page, **private)


def _message(turn: dict[str, Any]) -> dict[str, str]:
    return {"role": turn["role"], "content": turn["text"]}


def _found(hits: list[dict[str, Any]]) -> dict[str, Any]:
    """What was found, as a turn that the model is never told of."""
    words = "\n\n".join(f"[{number}] {hit['text']}" for number, hit in enumerate(hits, 1)) or "Nothing was found."
    cited = [{"number": number, **hit} for number, hit in enumerate(hits, 1)]
    return {"role": "assistant", "text": words, "citations": cited, "silent": True}


class _Chat:
    """What the parts of the tab do.

    Args:
        api: Asks the server.
    """

    def __init__(self, api: Api) -> None:
        self._api = api

    def answer(
        self, key: str, base: str | None, said: list[dict[str, Any]], question: str, only: bool, where: str
    ) -> Iterator[tuple[Any, ...]]:
        question = question.strip()
        try:
            if not question:
                raise Failed("ask something first")
            path, filter_ = kb(base), facts_in(where) or None
            mine = {"role": "user", "text": question}
            if only:
                found = self._api.ask(key, "POST", f"{path}/search", {"query": question, "filter": filter_})
                kept = [*said, mine, _found(found["data"])][-TURNS:]
                yield shown.talk(kept), kept, "", ""
                return
            asked = [_message(turn) for turn in said if not turn.get("silent")]
            body = {
                "model": base,
                "messages": [*asked, _message(mine)],
                "stream": True,
                "filter": filter_,
            }
            own: dict[str, Any] = {"role": "assistant", "text": ""}
            yield shown.talk([*said, mine, {**own, "note": "..."}]), said, "", ""
            for event in self._api.stream(key, "/v1/chat/completions", body):
                delta = event["choices"][0]["delta"] if event["choices"] else {}
                own["text"] += delta.get("content") or ""
                if "citations" in delta:
                    own["text"], own["citations"] = delta["final"], delta["citations"]
                    own["note"] = "" if delta["supported"] or not delta["known"] else "No place that says so is named."
                kept = [*said, mine, dict(own)][-TURNS:]  # also where somebody stops it here
                yield shown.talk(kept), kept, "", ""
        except Failed as failed:
            yield shown.talk(said), said, shown.problem(str(failed)), question

    def open_page(self, key: str, base: str, event: gr.EventData) -> str:
        return page_of(self._api, key, base, picked(event))

    def anew(self) -> tuple[Any, ...]:
        return shown.talk([]), [], "", ""
