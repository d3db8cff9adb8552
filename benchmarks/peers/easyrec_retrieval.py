"""Ours for `rag_retrieval.py --against`: told a line of JSON, it answers with one. Indexing is `KnowledgeBase.add` of a folder."""

import json
import os
import shutil
import sys
import time
from pathlib import Path

from rag.config import SearchConfig, load_rag
from rag.knowledge import KnowledgeBase


class Timed:
    """An embedder that counts what it takes."""

    def __init__(self, inner):
        self.inner, self.digest, self.seconds = inner, inner.digest, 0.0

    def documents(self, texts, progress=None):
        begun = time.perf_counter()
        made = self.inner.documents(texts, progress)
        self.seconds += time.perf_counter() - begun
        return made

    def queries(self, texts, progress=None):
        return self.inner.queries(texts, progress)


def processor():
    """Seconds of this process and of those that it has waited for."""
    return sum(os.times()[:4])


def main():
    base = embedder = work = None
    for line in sys.stdin:
        told = json.loads(line)
        if told["do"] == "open":
            work = Path(told["work"])
            embedder_config = {"type": "local", "path": told["encoder"], "precision": told["precision"]}
            config = load_rag({"knowledge": {"path": str(work), "embedder": embedder_config}}).knowledge
            embedder = Timed(config.embedder.open())
            embedder.documents(["warm"])
            answer = {}
        elif told["do"] == "index":
            if base is not None:
                base.close()
            shutil.rmtree(work, ignore_errors=True)
            embedder.seconds = 0.0
            begun, cpu = time.perf_counter(), processor()
            base = KnowledgeBase(config, embedder=embedder)
            base.add([told["folder"]])
            taken, cpu = time.perf_counter() - begun, processor() - cpu
            answer = {"seconds": taken, "cpu": cpu, "encoding": embedder.seconds}
        else:
            begun, cpu = time.perf_counter(), processor()
            hits = base.search(told["text"], SearchConfig(k=2 * told["k"]))
            taken, cpu = time.perf_counter() - begun, processor() - cpu
            found = list(dict.fromkeys(Path(hit.part.source).name for hit in hits))[: told["k"]]
            answer = {"found": found, "seconds": taken, "cpu": cpu}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
