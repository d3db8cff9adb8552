"""Embedders and rerankers by their configs."""

from typing import Annotated, Any

import numpy as np
import pytest

from easyrec.errors import ConfigError
from feature_generator.config import Choice, Document, StrictModel, validate


class Holder(StrictModel):
    embedder: Annotated[Any, Choice("easyrec.llm.embedders")] = None
    reranker: Annotated[Any, Choice("easyrec.llm.rerankers")] = None


def held(**fields):
    return validate(Holder, Document.of(fields))


def test_a_server_embeds_queries_and_documents(server):
    def answer(path, body):
        return {"data": [{"index": i, "embedding": [3.0, 4.0 * len(t)]} for i, t in enumerate(body["input"])]}

    server.answer = answer
    config = {"type": "server", "base_url": server.url, "model": "m", "key_env": "MODEL_KEY", "query_prefix": "query: "}
    with held(embedder=config).embedder.open() as embedder:
        np.testing.assert_allclose(embedder.documents(["a"]), [[0.6, 0.8]])
        assert embedder.queries(["a"]).shape == (1, 2)
        other = held(embedder={**config, "query_prefix": ""}).embedder.open()
        assert other.digest != embedder.digest
        other.close()
    assert [body["input"] for body in server.bodies()] == [["a"], ["query: a"]]


def test_a_server_reranks(server):
    server.answer = lambda path, body: {"results": [{"index": 0, "relevance_score": 2.5}]}
    config = {"type": "server", "base_url": server.url, "model": "m", "key_env": "MODEL_KEY"}
    with held(reranker=config).reranker.open() as reranker:
        np.testing.assert_array_equal(reranker.score("q", ["d"]), [2.5])


def test_wrong_configs_are_told():
    with pytest.raises(ConfigError, match="did you mean 'server'"):
        held(embedder={"type": "servr"})
    with pytest.raises(ConfigError, match=r"api_key|unknown key"):
        held(embedder={"type": "server", "base_url": "http://h/v1", "model": "m", "api_key": "sk-1"})
    with pytest.raises(ConfigError, match="path"):
        held(embedder="local")
