"""Upload: put files in, see what becomes of them, look at their chunks and change them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gradio as gr

from easyrec.retrieval.filters import fact_in
from rag.ui import shown
from rag.ui.api import Api, Failed, kb
from rag.ui.tabs import AGAIN, Head, picked, picking, telling

OPEN = ("held", "waiting", "running")
SHOWN = 200


def tab(head: Head) -> None:
    """Put it here."""
    work = _Upload(head.api)
    with gr.Row():
        with gr.Column(scale=2):
            files = gr.File(label="Files", file_count="multiple", elem_id="files", height=140)
            with gr.Row():
                folder = gr.Textbox(label="Folder", placeholder="handbook/2026", elem_id="folder")
                access = gr.Textbox(label="For whom", placeholder="everybody; or hr, board", elem_id="access")
            facts = gr.Textbox(label="Known of them", placeholder="team=shop year=2026", elem_id="facts")
            hold = gr.Checkbox(label="Look at the chunks before they are taken in", elem_id="hold")
            send = gr.Button("Put in", variant="primary", elem_id="send")
            told = gr.HTML(elem_id="upload-told")
            listed = picking("tasks")
            timer = gr.Timer(1.0, active=False)
        with gr.Column(scale=3):
            held = gr.State("")
            with gr.Row(visible=False) as deciding:
                take = gr.Button("Take in", variant="primary", elem_id="take")
                leave = gr.Button("Cancel", elem_id="leave")
            documents = picking("documents")
            chunks = picking("chunks")
            document, chunk = gr.State(""), gr.State("")
            with gr.Group(visible=False) as editor:
                words = gr.Textbox(label="What the chunk says", lines=6, max_lines=20, elem_id="words")
                with gr.Row():
                    save = gr.Button("Save", variant="primary", elem_id="chunk-save")
                    drop = gr.Button("Take the chunk away", elem_id="chunk-drop")
            with gr.Row(visible=False) as removing:
                gone = gr.Button("Remove the document", variant="stop", elem_id="document-drop")

    private = {"api_visibility": "private"}
    watched = [listed, documents, timer]
    head.begun(telling(work.look, 3), watched)
    # Rows are no outputs of this: the page is laid out anew for them, the dropdown says again that it has changed, for ever.
    head.forget([told, chunks, words, document, chunk, held], *[""] * 6)
    timer.tick(telling(work.look, 3), [head.key, head.base], watched, show_progress="hidden", **private)
    asked = [head.key, head.base, files, folder, access, facts, hold]
    send.click(telling(work.put, 3, {1: None}), asked, [told, files, timer], **private)
    listed.select(work.choose_task, [head.key, head.base], [told, held, deciding, chunks], **private)
    for button, verb in ((take, "take"), (leave, "leave")):
        button.click(
            telling(lambda key, base, number, verb=verb: work.decide(key, base, number, verb), 3),
            [head.key, head.base, held],
            [told, deciding, timer],
            **private,
        )
    outputs = [told, chunks, document, chunk, editor, removing]
    documents.select(work.choose_document, [head.key, head.base], outputs, **private)
    chunks.select(work.choose_chunk, [head.key, head.base], [told, words, chunk, editor], **private)
    save.click(telling(work.write, 2), [head.key, head.base, document, chunk, words], [told, chunks], **private)
    drop.click(telling(work.drop_chunk, 3), [head.key, head.base, document, chunk], [told, chunks, editor], **private)
    outputs = [told, chunks, editor, removing, timer]
    gone.click(telling(work.drop_document, 5), [head.key, head.base, document], outputs, **private)


def facts_in(text: str) -> dict[str, Any]:
    """`name=value` with blanks between them, as facts.

    Raises:
        Failed: They are none.
    """
    found: dict[str, Any] = {}
    for part in text.split():
        name, mark, value = part.partition("=")
        if not mark or not name:
            raise Failed(f"what is known is written as name=value, not '{part}'")
        found.setdefault(name, []).append(fact_in(value))
    return found


def _chosen(number: str, what: str) -> str:
    """It, if there is one.

    Raises:
        Failed: None is chosen, or another knowledge base was since.
    """
    if not number:
        raise Failed(f"choose a {what} first")
    return number


class _Upload:
    """What the parts of the tab do.

    Args:
        api: Asks the server.
    """

    def __init__(self, api: Api) -> None:
        self._api = api

    def look(self, key: str, base: str | None) -> tuple[Any, ...]:
        if not base:
            return "", "", gr.Timer(active=False)
        found = self._api.ask(key, "GET", f"{kb(base)}/tasks", params={"limit": "50"})["data"]
        there = self._api.ask(key, "GET", f"{kb(base)}/documents", params={"limit": str(SHOWN)})
        open_ = any(one["state"] in ("waiting", "running") for one in found)
        return shown.tasks(found), shown.documents(there["data"]), gr.Timer(active=open_)

    def put(
        self, key: str, base: str | None, given: list[str] | None, folder: str, access: str, facts: str, hold: bool
    ) -> tuple[Any, ...]:
        if not given:
            raise Failed("choose files first")
        try:
            kb(base)
            known = json.dumps(facts_in(facts))
            fields = {"folder": folder, "access": access, "facts": known, "hold": str(hold).lower()}
            self._api.upload(key, str(base), [(Path(one).name, Path(one)) for one in given], fields)
        except OSError:
            raise Failed(AGAIN) from None
        finally:
            for one in given:  # the server has them, or refused them: the page keeps nothing
                Path(one).unlink(missing_ok=True)
        return shown.note(f"{len(given)} put in."), None, gr.Timer(active=True)

    def choose_task(self, key: str, base: str | None, event: gr.EventData) -> tuple[Any, ...]:
        number = picked(event)
        nothing = (gr.skip(), "", gr.update(visible=False), gr.skip())
        if not number.isdigit():
            return nothing
        try:
            task = self._api.ask(key, "GET", f"{kb(base)}/tasks/{number}")
            if task["state"] not in OPEN:
                return nothing
            found = self._api.ask(key, "GET", f"{kb(base)}/tasks/{number}/chunks")
        except Failed as failed:
            return shown.problem(str(failed)), "", gr.update(visible=False), gr.skip()
        title = shown.note(f"{task['source']} would have {found['total']} chunks")
        can = task["state"] == "held"
        return "", number, gr.update(visible=can), title + shown.chunks(found["data"])

    def decide(self, key: str, base: str | None, number: str, verb: str) -> tuple[Any, ...]:
        path = f"{kb(base)}/tasks/{_chosen(number, 'file')}"
        if verb == "take":
            self._api.ask(key, "POST", f"{path}/index")
        else:
            self._api.ask(key, "DELETE", path)
        return shown.note("Done."), gr.update(visible=False), gr.Timer(active=True)

    def choose_document(self, key: str, base: str | None, event: gr.EventData) -> tuple[Any, ...]:
        number = picked(event)
        if not number.isdigit():
            return gr.skip(), gr.skip(), "", "", gr.update(visible=False), gr.update(visible=False)
        try:
            found = self._api.ask(key, "GET", f"{kb(base)}/documents/{number}/chunks", params={"limit": str(SHOWN)})
        except Failed as failed:
            return shown.problem(str(failed)), gr.skip(), "", "", gr.update(visible=False), gr.update(visible=False)
        return "", shown.chunks(found["data"]), number, "", gr.update(visible=False), gr.update(visible=True)

    def choose_chunk(self, key: str, base: str | None, event: gr.EventData) -> tuple[Any, ...]:
        number = picked(event)
        if not number.isdigit():
            return gr.skip(), gr.skip(), "", gr.skip()
        try:
            found = self._api.ask(key, "GET", f"{kb(base)}/chunks/{number}")
        except Failed as failed:
            return shown.problem(str(failed)), gr.skip(), "", gr.skip()
        return "", found["text"], number, gr.update(visible=True)

    def write(self, key: str, base: str | None, document: str, number: str, text: str) -> tuple[Any, ...]:
        self._api.ask(key, "PATCH", f"{kb(base)}/chunks/{_chosen(number, 'chunk')}", {"text": text})
        found = self._api.ask(key, "GET", f"{kb(base)}/documents/{document}/chunks", params={"limit": str(SHOWN)})
        return shown.note("Saved."), shown.chunks(found["data"], number)

    def drop_chunk(self, key: str, base: str | None, document: str, number: str) -> tuple[Any, ...]:
        self._api.ask(key, "DELETE", f"{kb(base)}/chunks/{_chosen(number, 'chunk')}")
        found = self._api.ask(key, "GET", f"{kb(base)}/documents/{document}/chunks", params={"limit": str(SHOWN)})
        return shown.note("Taken away."), shown.chunks(found["data"]), gr.update(visible=False)

    def drop_document(self, key: str, base: str | None, number: str) -> tuple[Any, ...]:
        self._api.ask(key, "DELETE", f"{kb(base)}/documents/{_chosen(number, 'document')}")
        hidden = gr.update(visible=False)
        return shown.note("Removed."), "", hidden, hidden, gr.Timer(active=True)
