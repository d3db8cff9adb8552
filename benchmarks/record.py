"""What every benchmark shares: where it ran, how it interleaves, where its dated result goes."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import torch

import easyrec
from easyrec.config import Experiment

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "benchmarks.md"
FAMILIES = ("easyrec.models.", "easyrec.modules.", "easyrec.statistics.")
"""Where the code lies whose changes let results lapse."""


def data(name: str) -> Path:
    """Folder of a data set in `EASYREC_DATA`, which is set for configs where it was not; else the end of the script."""
    folder = Path(os.environ.setdefault("EASYREC_DATA", str(ROOT.parent / "shared" / "data")))
    if not (folder / name).exists():
        sys.exit(f"{name} is not here ({folder}): set EASYREC_DATA to the folder that holds {name}/")
    return folder / name


def device() -> dict[str, str]:
    """Where models are trained: overrides of a config, from `EASYREC_DEVICE`; default: the CPU."""
    name = os.environ.get("EASYREC_DEVICE", "cpu")
    return {} if name == "cpu" else {"train.device": name}


def commit() -> str:
    """Hash of the checked-out commit, `+` behind it where tracked files differ."""

    def git(*args: str) -> str:
        return subprocess.run(["git", *args], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    return git("rev-parse", "--short", "HEAD") + (
        "+" if git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!benchmarks/results") else ""
    )


def machine() -> dict[str, Any]:
    """Processor and cores of this machine."""
    info = Path("/proc/cpuinfo")
    names = [line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    return {"cpu": names[0] if names else platform.processor(), "cores": len(os.sched_getaffinity(0))}


def interleave(contestants: Mapping[str, Callable[[], dict[str, float]]], runs: int) -> dict[str, dict[str, float]]:
    """Every contestant in turn, `runs` times around; the median of each of their figures."""
    figures: dict[str, list[dict[str, float]]] = {name: [] for name in contestants}
    for turn in range(runs):
        for name, run in contestants.items():
            figures[name].append(run())
            print(f"  run {turn + 1}/{runs}  {name}: {figures[name][-1]}", flush=True)
    return {
        name: {key: statistics.median(r[key] for r in results) for key in results[0]}
        for name, results in figures.items()
    }


def save(name: str, result: Mapping[str, Any]) -> Path:
    """Write `results/<name>-<date>.json` with date, commit and machine."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{name}-{date.today().isoformat()}.json"
    content = {"benchmark": name, "date": date.today().isoformat(), "commit": commit(), "machine": machine(), **result}
    path.write_text(json.dumps(content, indent=1) + "\n")
    print(f"wrote {path.relative_to(ROOT)}")
    return path


def kept(benchmark: str, name: str, run: Callable[[], dict[str, float]]) -> dict[str, float]:
    """What a run gave, from its file in `.data/` where this commit has one: a stopped script goes on where it stopped."""
    path = ROOT / ".data" / benchmark / f"{name}-{commit().rstrip('+')}.json"
    if path.exists():
        found: dict[str, float] = json.loads(path.read_text())
        return found
    result = run()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result))
    return result


def lines(benchmark: str) -> list[dict[str, Any]]:
    """All finished runs in `results/<benchmark>.jsonl`."""
    path = RESULTS / f"{benchmark}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def found(benchmark: str, fingerprint: str, seed: int) -> dict[str, Any] | None:
    """The line of a finished run."""
    runs = lines(benchmark)
    return next((run for run in runs if (run["fingerprint"], run["seed"]) == (fingerprint, seed)), None)


def finished(benchmark: str, fingerprint: str, seeds: Iterable[int]) -> list[dict[str, Any]]:
    """The lines of those seeds that have run."""
    return [run for seed in seeds if (run := found(benchmark, fingerprint, seed)) is not None]


def versus(ours: Iterable[dict[str, Any]], theirs: Iterable[dict[str, Any]], told: str = "test_auc") -> dict[str, str]:
    """Cells of a table: means of a figure of ours and of FuxiCTR's, of the seeds that both have; none where there are none.

    Args:
        ours: Lines with a `test_auc`.
        theirs: Lines of FuxiCTR.
        told: What the figure is called there.
    """
    found = {run["seed"]: run["test_auc"] for run in ours}, {run["seed"]: run[told] for run in theirs}
    seeds = found[0].keys() & found[1].keys()
    if not seeds:
        return {}
    mean = [statistics.mean(side[seed] for seed in seeds) for side in found]
    cells = {"seeds": str(len(seeds)), "easyrec": f"{mean[0]:.5f}", "FuxiCTR": f"{mean[1]:.5f}"}
    return cells | {"difference": f"{mean[0] - mean[1]:+.5f}"}


def once(
    benchmark: str, fingerprint: str, seed: int, about: Mapping[str, Any], run: Callable[[], Mapping[str, Any]]
) -> dict[str, Any]:
    """The line of a run, which is trained where there is none: several scripts may share the work, and stop any time.

    Args:
        benchmark: Name of the file.
        fingerprint: Decides, with the seed, whether a line is that of this run.
        seed: Seed of the run.
        about: What the line tells of the run.
        run: Gives its figures.
    """
    known = found(benchmark, fingerprint, seed)
    if known is not None:
        return known
    line = {**about, "seed": seed, "fingerprint": fingerprint, **run()}
    line.setdefault("threads", os.environ.get("OMP_NUM_THREADS", ""))
    line |= {"device": torch.cuda.get_device_name(name)} if (name := device().get("train.device")) else {}
    line |= {"commit": commit(), "date": date.today().isoformat()}
    RESULTS.mkdir(parents=True, exist_ok=True)
    with (RESULTS / f"{benchmark}.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")
    return line


def trained(config: Path, overrides: Mapping[str, Any], seed: int, metrics: Iterable[str], key: str) -> dict[str, Any]:
    """Train a config, or go on where that was stopped: its metrics on valid and test, the best step and the seconds.

    The run is kept under `.data/runs` until it has ended.

    Args:
        config: The config.
        overrides: What is laid over it.
        seed: Its seed.
        metrics: Names of the metrics that are told, as `<part>_<name>`.
        key: Tells the run from others, its fingerprint.
    """
    folder = ROOT / ".data" / "runs" / f"{key}-{seed}"
    laid = {**overrides, **device(), "train.seed": seed, "train.log_every": 1_000_000}
    found = easyrec.train(config, overrides=laid, run_dir=folder, resume=True, export=False, progress=False).metrics
    shutil.rmtree(folder)
    told = {f"{part}_{name}": round(found[part][name], 6) for part in ("valid", "test") for name in metrics}
    return {**told, "best_step": found["best_step"], "seconds": round(found["seconds"], 1)}


def fingerprint(experiment: Experiment, more: Iterable[str] = ()) -> str:
    """Changes where the config, or the code of the model, its modules and encoders changes; paths of data and devices do not.

    Args:
        experiment: What is trained.
        more: Modules whose code counts too.
    """
    text = re.sub(r"path: .*|^ *device: .*\n", "", experiment.to_yaml(), flags=re.MULTILINE)
    groups = (experiment.model.groups or {}).values()
    default = experiment.model.default_encoder() or "pooling"
    encoders = {entry.encoder.type if entry.encoder else default for group in groups for entry in group.sequences}
    layers = {layer.type for group in groups for layer in group.feature_wise}
    modules = [
        f"{experiment.model.family}.{experiment.model.type}",
        *(f"easyrec.modules.sequence.{e}" for e in sorted(encoders)),
    ]
    modules += [f"easyrec.modules.feature_wise.{layer}" for layer in sorted(layers)]
    return digest(text, dict.fromkeys(path for module in (*modules, *more) for path in _sources(module)))


def digest(text: str, paths: Iterable[Path | str]) -> str:
    """Hash of a text and of what Python files do: not of how they are written, what they say of it, or what they refuse."""
    for path in paths:
        text += ast.dump(_Doing().visit(ast.parse(Path(path).read_text(encoding="utf-8"))))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class _Doing(ast.NodeTransformer):
    """Drops docstrings, and what only refuses configs: validators (the config that they leave is hashed itself), `unfit`."""

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        return None if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str) else node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST | None:
        named = " ".join(ast.unparse(decorator) for decorator in node.decorator_list)
        if node.name == "unfit" or "model_validator" in named or "field_validator" in named:
            return None
        return self.generic_visit(node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.ImportFrom | None:
        return None


@cache
def _sources(module: str) -> tuple[str, ...]:
    """The file of a model or layer, and those of the models and layers that it imports."""
    path = ROOT.joinpath(*module.split(".")).with_suffix(".py")
    if not path.exists():
        return ()
    files = {str(path)}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom):
            continue
        for name in (str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)):
            if name.startswith(FAMILIES) and "._model" not in name:  # every model's
                files.update(_sources(name))
    return tuple(sorted(files))


def table(rows: list[dict[str, Any]]) -> None:
    """Print rows as an aligned table."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    cells = [[_cell(row.get(c, "")) for c in columns] for row in rows]
    widths = [max(len(c), *(len(r[i]) for r in cells)) for i, c in enumerate(columns)]
    for line in [columns, ["-" * w for w in widths], *cells]:
        print("  ".join(text.ljust(w) for text, w in zip(line, widths, strict=True)).rstrip())


def section(name: str, rows: list[dict[str, Any]]) -> None:
    """Put rows as a table between the marks `<!-- name -->` and `<!-- /name -->` of `docs/benchmarks.md`."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    cells = [columns, *([f"`{row[columns[0]]}`", *(_cell(row.get(c, "")) for c in columns[1:])] for row in rows)]
    lines = ["| " + " | ".join(line) + " |" for line in cells] if rows else []
    lines[1:1] = ["|" + "---|" * len(columns)] if rows else []
    start, end = f"<!-- {name} -->\n", f"<!-- /{name} -->\n"
    text = PAGE.read_text(encoding="utf-8")
    if text.count(start) != 1 or text.count(end) != 1:
        raise ValueError(f"{PAGE} must hold {start.strip()} and {end.strip()} once each")
    before, _, rest = text.partition(start)
    _, _, after = rest.partition(end)
    PAGE.write_text("".join([before, start, *(line + "\n" for line in lines), end, after]), encoding="utf-8")


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return str(value)
