"""What every benchmark shares: where it ran, how it interleaves, where its dated result goes."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"


def commit() -> str:
    """Hash of the checked-out commit, `+` behind it where tracked files differ."""

    def git(*args: str) -> str:
        return subprocess.run(["git", *args], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    return git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")


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


def saved(name: str) -> dict[str, Any]:
    """What `save` wrote today; empty where it did not."""
    path = RESULTS / f"{name}-{date.today().isoformat()}.json"
    return json.loads(path.read_text()) if path.exists() else {}


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


def table(rows: list[dict[str, Any]]) -> None:
    """Print rows as an aligned table."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    cells = [[_cell(row.get(c, "")) for c in columns] for row in rows]
    widths = [max(len(c), *(len(r[i]) for r in cells)) for i, c in enumerate(columns)]
    for line in [columns, ["-" * w for w in widths], *cells]:
        print("  ".join(text.ljust(w) for text, w in zip(line, widths, strict=True)).rstrip())


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return str(value)
