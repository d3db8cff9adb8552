"""The page: what stands above all tabs, and the tabs."""

from __future__ import annotations

from typing import Any

import gradio as gr

from rag.ui.api import Api, Failed
from rag.ui.tabs import Head, chat, evaluation, search, settings, upload

TABS = (("Settings", settings), ("Upload", upload), ("Search", search), ("Chat", chat), ("Evaluation", evaluation))


def page(api: Api, title: str) -> gr.Blocks:
    """The page.

    Args:
        api: Asks the server.
        title: What it is called.
    """
    with gr.Blocks(title=title, analytics_enabled=False, fill_width=True) as made:
        with gr.Row():
            gr.Markdown("## Knowledge bases", elem_id="title")
            base = gr.Dropdown([], label="Knowledge base", allow_custom_value=True, elem_id="base")
            key = gr.Textbox(
                label="Key", type="password", placeholder="Bearer key, where the server asks for one", elem_id="key"
            )
            again = gr.Button("Connect", elem_id="connect")

        def connect(key: str, chosen: str | None) -> Any:
            try:
                found = settings.names(api, key)
            except Failed as failed:
                gr.Warning(str(failed))
                return gr.update(choices=[], value=None)
            return gr.update(choices=found, value=chosen if chosen in found else found[0] if found else None)

        connected = again.click(connect, [key, base], base, api_visibility="private")
        head = Head(api, base, key, connected)
        for name, module in TABS:
            with gr.Tab(name, elem_id=f"tab-{name.lower()}"):
                module.tab(head)
        made.load(connect, [key, base], base, api_visibility="private")
    return made
