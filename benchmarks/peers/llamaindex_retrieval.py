"""LlamaIndex for `rag_retrieval.py --against`, with its defaults: VectorStoreIndex over its splitter and its store in memory.

Vectors are made by its class for local models, `HuggingFaceEmbedding` (sentence-transformers), with its defaults, out of the
same folder as ours; or, to see what the rest takes, by our encoder, whose packages lie behind LlamaIndex's own in the path.
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

Settings.llm = None


class Timed(BaseEmbedding):
    """An embedding class that counts what it takes; by itself none."""

    _make: object = PrivateAttr()
    _seconds: float = PrivateAttr(default=0.0)
    _cpu: float = PrivateAttr(default=0.0)

    def __init__(self, make, **more):
        super().__init__(**more)
        self._make = make

    def _encode(self, texts, kind):
        begun, cpu = time.perf_counter(), time.process_time()
        made = self._make(texts, kind)
        self._seconds += time.perf_counter() - begun
        self._cpu += time.process_time() - cpu
        return made

    def _get_query_embedding(self, query):
        return self._encode([query], "query")[0]

    async def _aget_query_embedding(self, query):
        return self._encode([query], "query")[0]

    def _get_text_embedding(self, text):
        return self._encode([text], "text")[0]

    def _get_text_embeddings(self, texts):
        return self._encode(texts, "text")


def huggingface(folder):
    """LlamaIndex's own class."""
    from llama_index.embeddings.huggingface import HuggingFaceEmbedding  # noqa: PLC0415 (it is not always asked for)

    own = HuggingFaceEmbedding(model_name=folder, device="cpu")

    def make(texts, kind):
        return own._get_text_embeddings(texts) if kind == "text" else [own._get_query_embedding(texts[0])]

    return Timed(make, embed_batch_size=own.embed_batch_size)


def ours(folder, precision):
    """Our encoder."""
    from easyrec.llm.encoders.encoder import Encoder  # noqa: PLC0415 (likewise)

    encoder = Encoder(folder, precision=precision)
    return Timed(lambda texts, _: encoder.encode(texts).tolist())


def processor():
    """Seconds of this process and of those that it has waited for."""
    return sum(os.times()[:4])


def main():
    embedding = index = None
    for line in sys.stdin:
        told = json.loads(line)
        if told["do"] == "open":
            own = told["precision"] is None
            embedding = huggingface(told["encoder"]) if own else ours(told["encoder"], told["precision"])
            embedding.get_text_embedding("warm")
            answer = {}
        elif told["do"] == "index":
            embedding._seconds = embedding._cpu = 0.0
            begun, cpu = time.perf_counter(), processor()
            documents = SimpleDirectoryReader(told["folder"], exclude_hidden=False).load_data()
            index = VectorStoreIndex.from_documents(documents, embed_model=embedding)
            taken, cpu = time.perf_counter() - begun, processor() - cpu
            answer = {"seconds": taken, "cpu": cpu, "encoding": embedding._seconds, "encoding_cpu": embedding._cpu}
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
