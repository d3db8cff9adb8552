"""Settings of a knowledge base: make one, look at it, change it, remove it."""

from __future__ import annotations

from typing import Any

import gradio as gr
import yaml

from rag.ui import shown
from rag.ui.api import Failed, kb
from rag.ui.tabs import Head, telling

TOLD = ("language", "chunker", "search", "answer")
HINT = "`language`, `chunker`, `search` and `answer` as in `rag.yaml`. Models and stores are said by the server's own config."


def tab(head: Head) -> None:
    """Put it here."""
    api = head.api
    with gr.Row():
        with gr.Column(scale=3):
            text = gr.Textbox(label="Settings (YAML)", lines=22, max_lines=40, elem_id="settings", info=HINT)
            save = gr.Button("Save", variant="primary", elem_id="settings-save")
        with gr.Column(scale=2):
            told = gr.HTML(elem_id="settings-told")
            about = gr.HTML(elem_id="settings-about")
            name = gr.Textbox(label="New knowledge base", placeholder="handbook", elem_id="new-name")
            make = gr.Button("Make", elem_id="new-make")
            again = gr.Textbox(label="Remove this knowledge base: type its name", elem_id="drop-name")
            drop = gr.Button("Remove", variant="stop", elem_id="drop")

    def load(key: str, base: str | None) -> tuple[Any, ...]:
        if not base:
            return "", "", shown.note("There is no knowledge base yet: make one.")
        found = api.ask(key, "GET", kb(base))
        settings = {name: found["settings"][name] for name in TOLD}
        settings["search"].pop("reranks", None)
        parts = [f"{found['documents']} documents", f"{found['chunks']} chunks"]
        parts += ["found by words and vectors" if found["settings"]["vectors"] else "found by their words"]
        parts += ["answered" if found["settings"]["answers"] else "no language model answers"]
        return "", yaml.safe_dump(settings, sort_keys=False, allow_unicode=True), shown.note(" · ".join(parts))

    def store(key: str, base: str | None, given: str) -> str:
        try:
            settings = yaml.safe_load(given[:100_000])
        except yaml.YAMLError as error:
            raise Failed(f"this is no YAML: {error}") from None
        if not isinstance(settings, dict):
            raise Failed("settings are a mapping")
        api.ask(key, "PATCH", kb(base), {"settings": settings})
        return shown.note("Saved.")

    def create(key: str, given: str) -> tuple[str, Any]:
        api.ask(key, "POST", "/v1/kb", {"name": given.strip()})
        return shown.note(f"Made: {given.strip()}"), gr.update(choices=names(api, key), value=given.strip())

    def remove(key: str, base: str | None, given: str) -> tuple[str, Any]:
        if not base or given.strip() != base:
            raise Failed("type the name of the knowledge base that is chosen above")
        api.ask(key, "DELETE", kb(base))
        left = names(api, key)
        return shown.note(f"Removed: {base}"), gr.update(choices=left, value=left[0] if left else None)

    head.begun(telling(load, 3), [told, text, about])
    save.click(telling(store), [head.key, head.base, text], told, api_visibility="private")
    make.click(telling(create, 2), [head.key, name], [told, head.base], api_visibility="private")
    drop.click(telling(remove, 2), [head.key, head.base, again], [told, head.base], api_visibility="private")


def names(api: Any, key: str) -> list[str]:
    """The knowledge bases that there are.

    Raises:
        Failed: The server does not say.
    """
    return [one["id"] for one in api.ask(key, "GET", "/v1/kb")["data"]]
