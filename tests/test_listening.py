"""Servers that end."""

import asyncio
import logging
import threading

import httpx
import pytest

from easyrec.listening import ending, listen


def test_a_connection_that_is_held_open_ends_without_a_word_of_an_error(caplog):
    uvicorn = pytest.importorskip("uvicorn", reason="needs the extra 'rag-server'")

    async def app(scope, receive, send):
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
            if scope["path"] == "/fails":
                raise ValueError("a fault of ours")
            await asyncio.Event().wait()

    caplog.set_level(logging.ERROR, "uvicorn.error")
    with listen("127.0.0.1", 0) as listener:
        server = ending(uvicorn.Config(app, lifespan="off", log_config=None, timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with httpx.Client(trust_env=False) as client, client.stream("GET", address) as answer:
            assert next(answer.iter_raw()) == b"x"
            with pytest.raises(httpx.RemoteProtocolError), client.stream("GET", f"{address}/fails") as failed:
                failed.read()
            server.should_exit = True
            thread.join(30)
            assert not thread.is_alive()
    told = [record.exc_info[0] for record in caplog.records if record.exc_info]
    assert told == [ValueError]
