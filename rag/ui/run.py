"""From a config to a running page."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any, TypeAlias

from easyrec.errors import MissingExtra
from easyrec.listening import ending, listen
from easyrec.loopback import NAMES, is_loopback, is_named
from rag.config import RagConfig
from rag.ui.api import Api

Message: TypeAlias = MutableMapping[str, Any]
FILE = "256mb"
"""Of a file, before the server, which may take less, is asked."""
GRACE_S = 3
"""How long what is being answered may take after SIGTERM; browsers hold a connection open without an end."""
POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; font-src 'self' data:;"
    " script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; worker-src 'self' blob:; connect-src 'self';"
    " object-src 'none'; base-uri 'self'; frame-ancestors 'none'; form-action 'self'"
)
"""The page reaches nothing but itself, whatever stands in a document."""
OFF = {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1"}


def serve_ui(config: RagConfig, ready: Callable[[str], object]) -> None:
    """Serve the page until SIGTERM or Ctrl+C.

    Args:
        config: Where it is, and which server it asks.
        ready: Is told its address.

    Raises:
        MissingExtra: What the extra `ui` brings is not installed.
        RunError: The port is taken.
    """
    os.environ.update(OFF)  # before the package is loaded, which reads them
    try:
        import fastapi  # noqa: PLC0415 (an extra)
        import gradio as gr  # noqa: PLC0415 (an extra)
        import uvicorn  # noqa: PLC0415 (an extra)
    except ImportError as error:
        raise MissingExtra((error.name or "gradio").partition(".")[0], "ui") from None
    from rag.ui.page import page  # noqa: PLC0415 (needs the extra)

    own, server = config.ui, config.server
    name = f"[{server.host}]" if ":" in server.host else server.host
    api = Api(own.server or f"http://{name}:{server.port}", own.key, own.timeout_s)
    with listen(own.host, own.port) as listener:
        blocks = page(api, config.name)
        app = gr.mount_gradio_app(
            fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None),
            blocks,
            path="/",
            allowed_paths=[],
            max_file_size=FILE,
            ssr_mode=False,
            enable_monitoring=False,
            mcp_server=False,
            pwa=False,
            run_history=False,
            show_error=False,
            footer_links=[],
            theme=gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
            css_paths=Path(__file__).with_name("page.css"),
        )
        options = uvicorn.Config(
            Guard(app, own.host),
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE_S,
        )
        shown = f"[{own.host}]" if ":" in own.host else own.host
        ready(f"http://{shown}:{listener.getsockname()[1]}/")
        try:
            ending(options).run([listener])
        finally:
            api.close()


class Guard:
    """Stands before the page: who may name it, and what it may reach.

    Args:
        app: The page.
        host: Where it listens.
    """

    def __init__(self, app: Any, host: str) -> None:
        self._app, self._names = app, (*NAMES, host) if is_loopback(host) else None

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        """Let a request through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        if self._names is not None and not is_named(headers.get(b"host", ""), self._names):
            await send({"type": "http.response.start", "status": 403, "headers": [(b"content-type", b"text/plain")]})
            await send({"type": "http.response.body", "body": b"this is served under the name of this machine alone"})
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = [
                    (b"content-security-policy", POLICY.encode()),
                    (b"x-content-type-options", b"nosniff"),
                    (b"referrer-policy", b"no-referrer"),
                ]
                message["headers"] = [*message["headers"], *own]
            await send(message)

        await self._app(scope, receive, guarded)
