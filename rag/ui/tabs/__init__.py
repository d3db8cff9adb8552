"""The tabs of the page: one file each, with `tab`, which puts its parts where it is called and says what they do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any

import gradio as gr

from rag.ui import shown
from rag.ui.api import Api, Failed, kb

PICK = """element.addEventListener('click', event => {
  const one = event.target.closest('[data-pick]');
  if (one && element.contains(one)) trigger('select', {pick: one.dataset.pick});
});
element.addEventListener('keydown', event => {
  if (event.key === 'Enter' && event.target.dataset && event.target.dataset.pick) event.target.click();
});"""
"""Says which row, hit or citation was chosen."""

AGAIN = "the page no longer has the files: choose them again"


@dataclass(frozen=True)
class Head:
    """What stands above all tabs.

    Attributes:
        api: Asks the server.
        base: The knowledge base that is chosen.
        key: Of who sits before the page.
        connected: Happens when somebody gives a key.
    """

    api: Api
    base: gr.Dropdown
    key: gr.Textbox
    connected: Any

    def begun(self, work: Callable[..., Any], outputs: list[Any], *more: Any) -> None:
        """What is done when another knowledge base is chosen, or somebody gives a key.

        Args:
            work: It; gets the key, the knowledge base and what `more` holds.
            outputs: What it changes.
            more: More inputs.
        """
        for happens in (self.base.change, self.connected.then):
            happens(work, [self.key, self.base, *more], outputs, api_visibility="private")

    def forget(self, outputs: list[Any], *values: Any) -> None:
        """Let nothing of another knowledge base, or of what another key may see, stay.

        Args:
            outputs: What is to forget.
            values: What they are then.
        """
        seen = gr.State(("", ""))

        def work(key: str, base: str | None, before: tuple[str, str]) -> tuple[Any, ...]:
            now = (key, base or "")
            if now == tuple(before):  # a dropdown says that it has changed also when the page is laid out anew
                return (gr.skip(), *(gr.skip() for _ in values))
            return (now, *values)

        self.begun(work, [seen, *outputs], seen)


def picking(elem_id: str, value: str = "") -> gr.HTML:
    """HTML of which something can be chosen."""
    return gr.HTML(value, elem_id=elem_id, js_on_load=PICK)


def picked(event: gr.EventData) -> str:
    """What was chosen."""
    found = event._data.get("pick", "") if isinstance(event._data, dict) else ""
    return str(found)[:200]


def page_of(api: Api, key: str, base: str, pick: str) -> str:
    """Where a hit or a citation leads, as HTML."""
    document, _, rest = pick.partition("/")
    page, _, chunk = rest.partition("/")
    if not (document.isdigit() and page.isdigit() and chunk.isdigit()):
        return shown.problem("that is no place")
    try:
        path = f"{kb(base)}/pages/{document}/{page}"
        kind, content = api.content(key, path, params={"chunk": chunk})
        if kind.startswith("image/"):
            return shown.page(kind, content, f"page {page}")
        return shown.passage(api.ask(key, "GET", path, params={"chunk": chunk}))
    except Failed as failed:
        return shown.problem(str(failed))


def telling(work: Callable[..., Any], outputs: int = 1, instead: Mapping[int, Any] | None = None) -> Callable[..., Any]:
    """Something that is done, or the problem in the place of its first output.

    Args:
        work: It.
        outputs: How many it has.
        instead: What the others are then, by their places; default: as they were.
    """

    @wraps(work)
    def told(*given: Any) -> Any:
        try:
            return work(*given)
        except Failed as failed:
            first = shown.problem(str(failed))
            others = (
                [gr.skip() for _ in range(outputs)]
                if instead is None
                else [instead.get(place, gr.skip()) for place in range(outputs)]
            )
            return first if outputs == 1 else (first, *others[1:])

    return told
