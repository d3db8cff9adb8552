"""A knowledge base of a million chunks: how long it takes to make, how fast and how well it finds.

`python benchmarks/rag_scale.py --encoder FOLDER [--chunks 1000000] [--store '{type: pgvector, url: ...}'] [--page]`

Chunks are sentences of SQuAD's paragraphs, shuffled: some of one paragraph, one of another, and a few words of a Zipf
vocabulary of half a million. The vector of a chunk is made of those of its sentences, which the encoder in FOLDER embedded
(all-MiniLM-L6-v2: 384 numbers), and of noise: so vectors lie in clusters as those of texts do, and questions, which are
SQuAD's and embedded when they are asked, find what is near them. Documents of 50 chunks are added file by file through
`KnowledgeBase.add`, and asked through `KnowledgeBase.search`, the kinds of search in turn for each question.

Without `--encoder` words have random vectors, to try the script itself. It is made under `.data/rag_scale`, once: a stopped
script goes on where it stopped, and `--measure` measures what is there once more. Files are read once before, so that they lie in
memory; `--cold` lets them lie where they are.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from record import ROOT, data, save, section

from easyrec.llm.embedders import Embedder, Progress
from rag.config import SearchConfig, load_rag
from rag.knowledge import KnowledgeBase

OUT = ROOT / ".data" / "rag_scale"
EACH, FILES = 50, 400
"""Chunks of a document, and documents of a part, which is added at a time."""
PSEUDO, NOISE = 500_000, 0.6
WARM, ASKED, COMPARED = 30, 300, 200
"""Questions before time is taken, those whose time is taken, and those whose answers are compared with the exact ones."""
SENTENCE = re.compile(r"(?<=[.!?]) +(?=[A-Z\d\"'(])")


class Made(Embedder):
    """Vectors of chunks out of those of their sentences; questions are embedded as ever."""

    def __init__(
        self, sentences: Sequence[str], vectors: np.ndarray, questions: Callable[[list[str]], np.ndarray]
    ) -> None:
        self.rows = {text: row for row, text in enumerate(sentences)}
        self.vectors, self.questions = vectors, questions
        self.digest = hashlib.sha256(vectors.tobytes()).hexdigest()

    def documents(self, texts: Sequence[str], progress: Progress | None = None) -> np.ndarray:
        found = np.empty((len(texts), self.vectors.shape[1]), np.float32)
        for place, text in enumerate(texts):
            rows = [self.rows[one] for one in SENTENCE.split(text.rpartition("\n")[2]) if one in self.rows]
            seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
            noise = np.random.default_rng(seed).normal(size=self.vectors.shape[1])
            whole = self.vectors[rows or [seed % len(self.vectors)]].sum(0)  # what Markdown reads as something else
            found[place] = whole + NOISE * noise * np.linalg.norm(whole) / np.sqrt(len(noise))
        found /= np.linalg.norm(found, axis=1, keepdims=True)
        return found

    def queries(self, texts: Sequence[str], progress: Progress | None = None) -> np.ndarray:
        return self.questions(list(texts))


class Words:
    """Random vectors of words, where there is no encoder."""

    def encode(self, texts: list[str]) -> np.ndarray:
        found = []
        for text in texts:
            words = [int.from_bytes(hashlib.md5(w.encode()).digest()[:4], "big") for w in re.findall(r"\w{4,}", text)]  # noqa: S324
            found.append(sum(np.random.default_rng(w).normal(size=384) for w in words) + np.full(384, 1e-3))
        whole = np.array(found, np.float32)
        return whole / np.linalg.norm(whole, axis=1, keepdims=True)


def texts_of_squad() -> tuple[list[list[str]], list[str]]:
    """Sentences by paragraph, and questions."""
    paragraphs, questions = [], []
    for part in ("dev", "test"):
        told = json.loads((data("squad") / f"{part}-v2.0.json").read_text(encoding="utf-8"))["data"]
        for each in (paragraph for title in told for paragraph in title["paragraphs"]):
            plain = " ".join(re.sub(r"[#*`<>\[\]|_\\~]", " ", each["context"]).split())
            whole = [one for one in SENTENCE.split(plain) if SENTENCE.split(f"A. {one} A.") == ["A.", one, "A."]]
            paragraphs += [whole] if len(whole) > 1 else []
            questions += [one["question"] for one in each.get("qas", [])] if part == "dev" else []
    return paragraphs, questions


def embedder(path: str | None, paragraphs: list[list[str]]) -> Made:
    """The embedder; the sentences' vectors are kept."""
    if path is None:
        encode: Callable[[list[str]], np.ndarray] = Words().encode
    else:
        from easyrec.llm.encoders.encoder import Encoder  # noqa: PLC0415 (it needs torch)

        encode = Encoder(path, precision="bf16").encode
    sentences = list(dict.fromkeys(sentence for each in paragraphs for sentence in each))
    kept = OUT / f"sentences-{hashlib.sha256(f'{path}{sentences}'.encode()).hexdigest()[:12]}.npy"
    if not kept.exists():
        OUT.mkdir(parents=True, exist_ok=True)
        draft = kept.with_suffix(".draft.npy")
        np.save(draft, encode(sentences))
        draft.rename(kept)
    return Made(sentences, np.load(kept), encode)


def write_part(folder: Path, part: int, count: int, paragraphs: list[list[str]]) -> None:
    """The documents of a part, the same ones each time."""
    draft = folder.with_name(folder.name + ".draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    for number in range((count + EACH - 1) // EACH):
        random, sections = np.random.default_rng([7, part, number]), []
        for place in range(min(EACH, count - number * EACH)):
            own = paragraphs[random.integers(len(paragraphs))]
            other = paragraphs[random.integers(len(paragraphs))]
            chosen = [own[i] for i in random.permutation(len(own))[: random.integers(2, 5)]]
            chosen.append(other[random.integers(len(other))])
            words = (f"w{int(w):x}" for w in np.minimum(random.zipf(1.2, 6), PSEUDO))
            random.shuffle(chosen)
            sections.append(f"## {place}\n\n{' '.join(chosen)} {' '.join(words).capitalize()}.\n")
        (draft / f"{number:05d}.md").write_text("\n".join(sections), encoding="utf-8")
    draft.rename(folder)


def build(base: KnowledgeBase, home: Path, chunks: int, paragraphs: list[list[str]]) -> dict[str, Any]:
    """Add all parts that are not there yet, and tell what that took."""
    about = home / "build.json"
    told: dict[str, Any] = json.loads(about.read_text()) if about.exists() else {"parts": 0, "seconds": {}}
    size = EACH * FILES
    for part in range(told["parts"], (chunks + size - 1) // size):
        folder = home / "documents" / f"{part:04d}"
        if not folder.exists():
            write_part(folder, part, min(size, chunks - part * size), paragraphs)
        begun, used = time.perf_counter(), time.process_time()
        report = base.add([folder], {"team": f"t{part % 10}", "year": 2000 + part % 25})
        if report.failed:
            raise SystemExit(f"not added: {report.failed}")
        took = {"wall": time.perf_counter() - begun, "processor": time.process_time() - used, **report.seconds}
        told["seconds"] = {key: told["seconds"].get(key, 0.0) + value for key, value in took.items()}
        told["parts"], told["peak_mb"] = part + 1, max(told.get("peak_mb", 0), peak_mb())
        draft = about.with_suffix(".draft")
        draft.write_text(json.dumps(told))
        draft.rename(about)
        print(f"  part {part + 1}: {took['wall']:.0f} s {report.seconds}", flush=True)
    return told


def peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def now_mb() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") >> 20


class Clock:
    """Takes the time of what a search is made of."""

    def __init__(self, base: KnowledgeBase) -> None:
        self.took: dict[str, float] = {}
        for owner, name, part in (
            (base.embedder, "queries", "embed"),
            (base.vectors, "search", "vectors"),
            (base.keywords, "search", "words"),
            (base.records, "parts", "records"),
        ):
            setattr(owner, name, self.timed(getattr(owner, name), part))

    def timed(self, work: Callable[..., Any], part: str) -> Callable[..., Any]:
        def timed(*args: Any, **named: Any) -> Any:
            begun = time.perf_counter()
            try:
                return work(*args, **named)
            finally:
                self.took[part] = self.took.get(part, 0.0) + time.perf_counter() - begun

        return timed


def measure(base: KnowledgeBase, questions: Sequence[str]) -> list[dict[str, Any]]:
    """Milliseconds of each kind of search, in turn for each question."""
    clock = Clock(base)
    kinds: dict[str, tuple[str, dict[str, Any] | None]] = {
        "hybrid": ("hybrid", None),
        "words": ("keyword", None),
        "vectors": ("vector", None),
        "hybrid, a tenth passes": ("hybrid", {"team": "t3"}),
        "hybrid, a range and not": ("hybrid", {"year": {"gte": 2001, "lt": 2015}, "team": {"none": ["t1", "t2"]}}),
        "hybrid, one document": ("hybrid", {"source": base.documents()[0].source}),
    }
    taken: dict[str, list[dict[str, float]]] = {kind: [] for kind in kinds}
    for place, question in enumerate(questions[: WARM + ASKED]):
        for kind, (mode, filter) in kinds.items():
            clock.took = {}
            begun, used = time.perf_counter(), time.process_time()
            base.search(question, SearchConfig(mode=mode), filter=filter)  # type: ignore[arg-type]
            whole = {"wall": time.perf_counter() - begun, "processor": time.process_time() - used}
            if place >= WARM:
                taken[kind].append({**whole, **clock.took})
    rows = []
    for kind, runs in taken.items():
        walls = [1e3 * run["wall"] for run in runs]
        row: dict[str, Any] = {"search": kind, "p50": float(np.median(walls)), "p95": float(np.quantile(walls, 0.95))}
        row["processor p95"] = float(np.quantile([1e3 * run["processor"] for run in runs], 0.95))
        for part in ("embed", "vectors", "words", "records"):
            own = [1e3 * run.get(part, 0.0) for run in runs]
            row |= {f"{part} p50": float(np.median(own)), f"{part} p95": float(np.quantile(own, 0.95))}
        rows.append({key: value if isinstance(value, str) else round(value, 2) for key, value in row.items()})
        print(" ", rows[-1], flush=True)
    return rows


def exact(base: KnowledgeBase, home: Path, questions: Sequence[str], k: int = 10) -> np.ndarray:
    """(COMPARED, k) numbers of the nearest chunks of all."""
    kept = home / f"exact-{base.records.last()}.npy"
    if not kept.exists():
        assert base.embedder is not None
        asked = base.embedder.queries(list(questions[:COMPARED]))
        best, scores, chunk = np.zeros((len(asked), k), np.int64), np.full((len(asked), k), -np.inf), 0
        while parts := base.records.after(chunk, 5000):
            chunk = parts[-1].id
            near = asked @ np.stack([part.vector for part in parts if part.vector is not None]).T
            ids = np.array([part.id for part in parts if part.vector is not None])
            all_ids = np.concatenate([best, np.tile(ids, (len(asked), 1))], 1)
            all_scores = np.concatenate([scores, near], 1)
            order = np.argsort(-all_scores, axis=1)[:, :k]
            best, scores = np.take_along_axis(all_ids, order, 1), np.take_along_axis(all_scores, order, 1)
        np.save(kept, best)
    return np.load(kept)  # type: ignore[no-any-return]


def recall(base: KnowledgeBase, home: Path, questions: Sequence[str]) -> float:
    """Share of the ten nearest that the store finds among a hundred, as hybrid search asks for them."""
    assert base.embedder is not None
    assert base.vectors is not None
    wanted = exact(base, home, questions)
    asked = base.embedder.queries(list(questions[: len(wanted)]))
    found = [base.vectors.search(one, 100)[0][:10] for one in asked]
    return float(np.mean([len(set(a) & set(b)) / 10 for a, b in zip(wanted.tolist(), found, strict=True)]))


def size_mb(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) >> 20


def read_once(folder: Path) -> None:
    """Files lie in memory then, as those of a machine that has answered for a while."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb", buffering=0) as file:
                while file.read(1 << 24):
                    pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--chunks", type=int, default=1_000_000)
    parser.add_argument("--encoder", help="folder of the encoder; without it words have random vectors")
    parser.add_argument("--store", default="{type: faiss}", help="config of the store")
    parser.add_argument("--measure", action="store_true", help="what is there, and build nothing")
    parser.add_argument("--cold", action="store_true", help="do not read the files once before")
    parser.add_argument("--page", action="store_true", help="write the table into docs/benchmarks.md")
    args = parser.parse_args()
    paragraphs, questions = texts_of_squad()
    questions = [questions[i] for i in np.random.default_rng(5).permutation(len(questions))]
    home = OUT / f"{args.chunks}-{hashlib.sha256(f'{args.encoder}{args.store}'.encode()).hexdigest()[:8]}"
    named = {"type": "local", "path": args.encoder or "none"}
    told = {"path": str(home / "kb"), "store": yaml.safe_load(args.store), "embedder": named}
    made, config = embedder(args.encoder, paragraphs), load_rag({"knowledge": told}).knowledge
    if not args.measure:
        with KnowledgeBase(config, embedder=made) as base:
            build(base, home, args.chunks, paragraphs)
        # A process of its own tells what searching needs.
        subprocess.run([sys.executable, __file__, *sys.argv[1:], "--measure"], check=True)
        return
    if not args.cold:
        read_once(home / "kb")
    before, begun = now_mb(), time.perf_counter()
    with KnowledgeBase(config, embedder=made) as base:
        opened = {"seconds": round(time.perf_counter() - begun, 1), "mb": now_mb() - before}
        rows = measure(base, questions)
        opened["mb_when_searched"] = now_mb() - before
        found = recall(base, home, questions)
        documents, chunks = base.records.count()
    sizes = {part: size_mb(home / "kb" / part) for part in ("keyword", "vectors")}
    sizes["records"] = (home / "kb" / "records.db").stat().st_size >> 20
    result = {
        "chunks": chunks,
        "documents": documents,
        "encoder": bool(args.encoder),
        "store": args.store,
        "cold": args.cold,
        "build": json.loads((home / "build.json").read_text()),
        "opened": opened,
        "disk_mb": sizes,
        "recall_at_10": round(found, 4),
        "milliseconds": rows,
    }
    print(json.dumps({key: value for key, value in result.items() if key != "milliseconds"}, indent=1))
    if args.encoder:
        save(f"rag-scale-{chunks}", result)
    if args.page:
        took = result["build"]["seconds"]
        about = {
            "chunks": f"{chunks:,}",
            "documents": f"{documents:,}",
            "minutes to build": round(took["wall"] / 60, 1),
        }
        about |= {f"{part} MB": size for part, size in sizes.items()}
        about |= {
            "seconds to open": opened["seconds"],
            "memory MB": opened["mb_when_searched"],
            "recall@10": result["recall_at_10"],
        }
        section("rag-scale", [about])
        section("rag-scale-searches", rows)


if __name__ == "__main__":
    main()
