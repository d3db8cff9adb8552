"""Writes the golden cases as compiled plans, columns and expected outputs, for the tests without Python.

Usage: export_golden.py OUTPUT. A case with a feature that Python computes is left out: there is no Python there.
"""

import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from plain_file import plain

from feature_generator import FeatureGenerator
from feature_generator.config import members
from feature_generator.program import Assembly
from feature_generator.stage import Stage

GOLDEN = Path(__file__).resolve().parent.parent / "golden"
FILES = {"fg_cases.jsonl": "raw", "fg_encoded_cases.jsonl": "encoded", "fg_decided_cases.jsonl": "raw"}


def types_of(features: list[dict[str, Any]]) -> set[str]:
    """Types of features and of their children."""
    return {t for f in features for t in (f["type"], *types_of(f.get("features", [])))}


def compiled(case: dict[str, Any], mode: Any) -> dict[str, Any] | None:
    """A case with its plan; None where Python is part of it."""
    generator = FeatureGenerator.load({"features": case["features"], "hash": case["hash"]}, mode=mode)
    # Whole: features of constants alone are computed by the plan too.
    program = Assembly(generator._resolved, generator._finished).program()
    if any(feature.get("operator") == "call" for unit in program.units for feature in unit["features"]):
        return None
    units = [{**u, "features": [{**f, "call": None} for f in u["features"]]} for u in program.units]
    columns = [
        {"name": name, "type": "string", "cells": [name]} if side == "const" else {"name": name, **cells(case, name)}
        for name, side in program.columns
    ]
    names = [None if node is None else node.name for node in program.nodes]
    places = {name: place.start for name, place in Stage(program, generator._specs)._slices.items()}
    outputs = [
        {
            "name": name,
            "feature": names.index(name),
            "place": places.get(name),
            "value_dim": generator.outputs[name].value_dim,
            **expected,
        }
        for name, expected in case["expect"].items()
    ]
    return {
        "id": case["id"],
        "columns": columns,
        "units": units,
        "outputs": outputs,
        "tolerance": float(case.get("rtol", 1e-6)),
    }


def cells(case: dict[str, Any], name: str) -> dict[str, Any]:
    """Type and cells of a column."""
    column = case["columns"][name]
    return {"type": column["type"], "cells": column["values"]}


def main() -> None:
    """Write all cases and say how many are left out, and why."""
    output = Path(sys.argv[1]).resolve()
    os.chdir(GOLDEN)
    known = set(members("feature_generator.features"))
    cases, left_out = [], Counter()
    for file, mode in FILES.items():
        for line in Path(file).read_text(encoding="utf-8").splitlines():
            case = json.loads(line)
            absent = [asset for asset in case.get("assets", {}) if not Path(asset).exists()]
            if absent or types_of(case["features"]) - known:
                left_out["not built, or its file is not here"] += 1
                continue
            made = compiled(case, mode)
            if made is None:
                left_out["computed by Python"] += 1
            else:
                cases.append(made)
    hashes = [json.loads(line) for line in Path("fg_hash_vectors.jsonl").read_text(encoding="utf-8").splitlines()]
    output.write_bytes(plain({"cases": cases, "hashes": hashes}))
    told = ", ".join(f"{count} {reason}" for reason, count in left_out.items())
    print(f"{len(cases)} golden cases for C++; left out: {told}")


if __name__ == "__main__":
    main()
