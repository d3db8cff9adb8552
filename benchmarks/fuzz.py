"""Fuzzes the kernels that read bytes from outside, one target of tests/fuzz after the other, and counts the findings.

Usage: fuzz.py [SECONDS [TARGET ...]]; 600 seconds each by default. `make fuzz` builds the targets and calls this. What a
target found stays in build/fuzz/findings, its corpus in build/fuzz/corpus. A target that was done at this commit, for as
long, is not run again.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from record import ROOT, kept, save, table

BUILD = ROOT / "build" / "fuzz"
SEEDS = ROOT / "tests" / "golden" / "fg_cases.jsonl"


def targets() -> list[str]:
    """Names of all targets."""
    return sorted(path.stem for path in (ROOT / "tests" / "fuzz").glob("*.cpp"))


def seed(target: str, corpus: Path) -> None:
    """Cells of the golden cases; for plans also every plan over golden cells."""
    corpus.mkdir(parents=True, exist_ok=True)
    for line in SEEDS.read_text(encoding="utf-8").splitlines():
        case = json.loads(line)
        texts = [str(cell) for column in case["columns"].values() for cell in column["values"] if cell is not None]
        (corpus / f"seed-{case['id']}").write_bytes(b"\x00\x00" + "\x00".join(texts).encode())
    if target == "plan":
        for number in range(512):
            rows = b"\x05" + bytes(4 * i % 256 for i in range(200))
            (corpus / f"seed-plan-{number}").write_bytes(number.to_bytes(2, "little") + b"\x01" + rows)


def fuzz(target: str, seconds: int) -> dict[str, Any]:
    """Run one target; the artifacts it writes are its findings."""
    corpus, findings = BUILD / "corpus" / target, BUILD / "findings" / target
    seed(target, corpus)
    findings.mkdir(parents=True, exist_ok=True)
    for old in findings.iterdir():
        old.unlink()
    options = [f"-max_total_time={seconds}", "-timeout=20", "-max_len=1024", "-print_final_stats=1", "-verbosity=1"]
    start = time.monotonic()
    with (BUILD / f"{target}.log").open("w") as log:
        command = [str(BUILD / target), str(corpus), *options, f"-artifact_prefix={findings}/"]
        code = subprocess.run(command, cwd=ROOT, stdout=log, stderr=log, check=False).returncode
    told = (BUILD / f"{target}.log").read_text(errors="replace")
    executed = re.search(r"number_of_executed_units: *(\d+)", told)
    covered = re.findall(r"cov: (\d+)", told)
    return {
        "target": target,
        "seconds": round(time.monotonic() - start),
        "executions": int(executed.group(1)) if executed else 0,
        "covered_edges": int(covered[-1]) if covered else 0,
        "findings": max(len(list(findings.iterdir())), int(code != 0)),
    }


def main() -> int:
    """Run what was asked for, write the dated result, and fail where anything was found."""
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 600
    results = []
    for target in sys.argv[2:] or targets():
        print(f"{target}: {seconds} s ...", flush=True)
        results.append(kept("fuzz", f"{target}-{seconds}", lambda target=target: fuzz(target, seconds)))
    table(results)
    save("fuzz", {"seconds_each": seconds, "targets": results})
    return int(any(result["findings"] for result in results))


if __name__ == "__main__":
    sys.exit(main())
