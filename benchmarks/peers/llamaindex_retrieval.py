"""LlamaIndex for `rag_retrieval.py --against`, with its defaults: VectorStoreIndex over its splitter and its store in memory.

Its embedding class calls our encoder, whose packages (torch and so on) lie behind LlamaIndex's own in the path.
"""

import json
import os
import sys
import time
from pathlib import Path

OUT = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # what LlamaIndex prints is no answer
sys.path += os.environ["LATER_PATH"].split(os.pathsep)

from llama_index.core import Settings, SimpleDirectoryReader, VectorStoreIndex  # noqa: E402 (the path stands first)
from llama_index.core.base.embeddings.base import BaseEmbedding  # noqa: E402 (the path stands first)
from pydantic import PrivateAttr  # noqa: E402 (the path stands first)

from easyrec.llm.encoders.encoder import Encoder  # noqa: E402 (the path stands first)

Settings.llm = None


class Ours(BaseEmbedding):
    """Our encoder as LlamaIndex wants it."""

    _encoder: Encoder = PrivateAttr()
    _seconds: float = PrivateAttr(default=0.0)

    def __init__(self, encoder, **more):
        super().__init__(**more)
        self._encoder = encoder

    def _encode(self, texts):
        begun = time.perf_counter()
        made = self._encoder.encode(texts).tolist()
        self._seconds += time.perf_counter() - begun
        return made

    def _get_query_embedding(self, query):
        return self._encode([query])[0]

    async def _aget_query_embedding(self, query):
        return self._encode([query])[0]

    def _get_text_embedding(self, text):
        return self._encode([text])[0]

    def _get_text_embeddings(self, texts):
        return self._encode(texts)


def processor():
    """Seconds of this process and of those that it has waited for."""
    return sum(os.times()[:4])


def main():
    ours = index = None
    for line in sys.stdin:
        told = json.loads(line)
        if told["do"] == "open":
            ours = Ours(Encoder(told["encoder"], precision=told["precision"]))
            ours.get_text_embedding("warm")
            answer = {}
        elif told["do"] == "index":
            ours._seconds = 0.0
            begun, cpu = time.perf_counter(), processor()
            documents = SimpleDirectoryReader(told["folder"], exclude_hidden=False).load_data()
            index = VectorStoreIndex.from_documents(documents, embed_model=ours)
            taken, cpu = time.perf_counter() - begun, processor() - cpu
            answer = {"seconds": taken, "cpu": cpu, "encoding": ours._seconds}
            retriever = index.as_retriever(similarity_top_k=20)
        else:
            begun, cpu = time.perf_counter(), processor()
            nodes = retriever.retrieve(told["text"])
            taken, cpu = time.perf_counter() - begun, processor() - cpu
            found = list(dict.fromkeys(Path(node.metadata["file_name"]).name for node in nodes))[: told["k"]]
            answer = {"found": found, "seconds": taken, "cpu": cpu}
        OUT.write(json.dumps(answer) + "\n")
        OUT.flush()


if __name__ == "__main__":
    main()
