"""Search: a question under two settings side by side, with the scores of each part."""

from __future__ import annotations

from typing import Any

import gradio as gr

from rag.ui import shown
from rag.ui.api import Api, Failed, kb
from rag.ui.tabs import Head, page_of, picked, picking, telling
from rag.ui.tabs.upload import facts_in

SHOW = "() => document.querySelector('#search-page').scrollIntoView({behavior: 'smooth', block: 'nearest'})"


def tab(head: Head) -> None:
    """Put it here."""
    work = _Search(head.api)
    with gr.Row():
        query = gr.Textbox(label="Question", scale=4, elem_id="query")
        where = gr.Textbox(label="Filter", placeholder="team=shop", scale=2, elem_id="query-filter")
        find = gr.Button("Search", variant="primary", scale=1, elem_id="find")
    told = gr.HTML(elem_id="search-told")
    sides = []
    with gr.Row(equal_height=False):
        for side, mode in (("left", "hybrid"), ("right", "keyword")):
            with gr.Column():
                with gr.Accordion(f"Settings {side}", open=True):
                    with gr.Row():
                        kind = gr.Radio(["hybrid", "vector", "keyword"], value=mode, label="Found by")
                        k = gr.Slider(1, 50, value=5, step=1, label="How many (k)")
                    with gr.Row():
                        fusion = gr.Dropdown(["minmax", "rrf", "dbsf"], value="minmax", label="Fusion")
                        weight = gr.Slider(0.0, 1.0, value=0.5, step=0.05, label="Weight of words")
                    with gr.Row():
                        candidates = gr.Number(100, label="Candidates of each", precision=0, minimum=1)
                        least = gr.Textbox(label="Least score", placeholder="any")
                        rerank = gr.Checkbox(label="Rerank", value=False)
                results = picking(f"hits-{side}")
            sides.append(([kind, k, fusion, weight, candidates, least, rerank], results))
    page = gr.HTML(elem_id="search-page")

    head.forget([told, *(results for _, results in sides), page], "", "", "", "")
    private = {"api_visibility": "private"}
    inputs = [head.key, head.base, query, where, *(one for controls, _ in sides for one in controls)]
    outputs = [told, *(results for _, results in sides)]
    find.click(telling(work.both, 3), inputs, outputs, **private)
    query.submit(telling(work.both, 3), inputs, outputs, **private)
    for _, results in sides:
        opened = results.select(work.open_page, [head.key, head.base], page, **private)
        opened.then(None, js=SHOW, **private)


class _Search:
    """What the parts of the tab do.

    Args:
        api: Asks the server.
    """

    def __init__(self, api: Api) -> None:
        self._api = api

    def search(self, key: str, base: str | None, query: str, where: str, given: list[Any]) -> str:
        kind, k, fusion, weight, candidates, least, rerank = given
        settings: dict[str, Any] = {
            "mode": kind,
            "candidates": int(candidates or 100),
            "fusion": {"type": fusion, "keyword": weight},
            "min_score": None,
        }
        if least.strip():
            try:
                settings["min_score"] = float(least)
            except ValueError:
                raise Failed(f"the least score is a number, not '{least}'") from None
        body = {"query": query, "k": int(k), "search": settings, "filter": facts_in(where) or None, "rerank": rerank}
        found = self._api.ask(key, "POST", f"{kb(base)}/search", body)
        return shown.hits(found["data"], found["seconds"])

    def both(self, key: str, base: str | None, query: str, where: str, *given: Any) -> tuple[str, ...]:
        if not query.strip():
            raise Failed("ask something first")
        half = len(given) // 2
        found = []
        for part in (given[:half], given[half:]):
            try:
                found.append(self.search(key, base, query, where, list(part)))
            except Failed as failed:  # noqa: PERF203 (two at most)
                found.append(shown.problem(str(failed)))
        return ("", *found)

    def open_page(self, key: str, base: str, event: gr.EventData) -> str:
        return page_of(self._api, key, base, picked(event))
