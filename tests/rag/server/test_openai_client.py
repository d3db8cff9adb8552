"""The package of OpenAI itself as a client of the server."""

import pytest

openai = pytest.importorskip("openai", reason="needs the package openai: make test-rag installs it")


@pytest.mark.slow
def test_the_client_of_openai_is_answered(serve, model_server):
    served = serve(users=serve.users)
    served.ask("POST", "/v1/kb", "root", json={"name": "shop"})
    served.put("shop", {"refunds.md": b"# Refunds\n\nA refund takes five days.\n"}, "root")
    served.until_done("shop", "root")
    model_server.answer = lambda path, body: model_server.Reply(pieces=serve.spoken("Five |days [1]."))
    with openai.OpenAI(base_url=f"{served.address}/v1", api_key=serve.keys["otto"], max_retries=0) as client:
        assert [one.id for one in client.models.list()] == ["shop"]
        asked = {"model": "shop", "messages": [{"role": "user", "content": "how long does a refund take?"}]}
        answer = client.chat.completions.create(**asked, extra_body={"k": 1})
        message = answer.choices[0].message
        assert (message.content, answer.usage.total_tokens) == ("Five days [1].", 12)
        assert message.citations[0]["source"] == "refunds.md"
        *pieces, last = client.chat.completions.create(**asked, stream=True)
        assert "".join(piece.choices[0].delta.content or "" for piece in pieces) == "Five days [1]."
        assert (last.choices[0].finish_reason, last.choices[0].delta.citations[0]["number"]) == ("stop", 1)
        with pytest.raises(openai.NotFoundError, match="no knowledge base 'other'"):
            client.chat.completions.create(**{**asked, "model": "other"})
    with (
        openai.OpenAI(base_url=f"{served.address}/v1", api_key="wrong", max_retries=0) as client,
        pytest.raises(openai.AuthenticationError, match="needs a key"),
    ):
        client.models.list()
