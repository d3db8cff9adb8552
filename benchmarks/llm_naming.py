"""Free names as ids: how many of the shop's categories are found under other names, and how many strange names are turned away.

python benchmarks/llm_naming.py --encoder FOLDER            # the calibrations that we ship, on names they never saw
python benchmarks/llm_naming.py --encoder FOLDER --fit      # make them anew, of the other half of the names

The catalogue is the embedded shop's 200 categories under their English names. What is asked for: these names in other forms
(case, accents, plural, order of words, marks), with one or two typos, paraphrases of all of them in other words, paraphrases
with a typo, and 230 names of `benchmarks/names/unknown.txt` that mean none, also with typos. Half of the categories and half
of the strange names are for choosing, the others are reported.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq
import record

from easyrec.data.shop.catalogue import category_table, make_catalogue
from easyrec.llm.embedders.local import Config as Local
from easyrec.llm.naming import Names, NamesConfig
from easyrec.llm.naming.titles import TitlesConfig

UNKNOWN = Path(__file__).parent / "names" / "unknown.txt"
SAID = UNKNOWN.with_name("as_models_say.txt")
LETTERS = "abcdefghijklmnopqrstuvwxyz"
BEST = {"precision": 0.95, "recall": 0.85, "rejected": 0.95}


class Case(NamedTuple):
    """A name, what it means, and how it came about."""

    name: str
    id: int | None
    kind: str
    half: int


def _lines(path: Path) -> list[str]:
    return [line for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]


def mistyped(name: str, times: int, random: np.random.Generator) -> str:
    """A name with letters put in, left out, changed or swapped; its first letter stays."""
    for _ in range(times):
        places = [place for place in range(1, len(name)) if name[place].isalpha() and name[place - 1].isalpha()]
        if not places:
            return name
        at = int(random.choice(places))
        letter = str(random.choice(list(LETTERS)))
        kind = int(random.integers(4))
        if kind == 0:
            name = name[:at] + letter + name[at:]
        elif kind == 1:
            name = name[:at] + name[at + 1 :]
        elif kind == 2:
            name = name[:at] + letter + name[at + 1 :]
        else:
            name = name[: at - 1] + name[at] + name[at - 1] + name[at + 1 :]
    return name


def reformed(name: str, random: np.random.Generator) -> str:
    """A name in another form."""
    words = name.split()
    kind = int(random.integers(5))
    if kind == 0:
        return name.upper()
    if kind == 1:
        return "  ".join(words).title() + "!"
    if kind == 2 and len(words) > 1:
        return f"{words[-1]}, {' '.join(words[:-1])}"
    if kind == 3:
        return name[:-1] if name.endswith("s") and not name.endswith("ss") else name + "s"
    return "".join(chr(ord(letter) + 0xFEE0) if "a" <= letter <= "z" else letter for letter in name)


def labelled(seed: int) -> list[Case]:
    """All names that are asked for."""
    random = np.random.default_rng(seed)
    table = category_table()
    names, others = table.column("english").to_pylist(), table.column("english_paraphrase").to_pylist()
    halves = random.permutation(len(names)) % 2
    cases = []
    for number, (name, other) in enumerate(zip(names, others, strict=True)):
        half = int(halves[number])
        cases.append(Case(reformed(name, random), number, "form", half))
        cases += [Case(mistyped(name, 1, random), number, "typo", half) for _ in range(2)]
        if len(name) >= 10:
            cases.append(Case(mistyped(name, 2, random), number, "two typos", half))
        cases.append(Case(other, number, "paraphrase", half))
        cases.append(Case(mistyped(other, 1, random), number, "paraphrase with typo", half))
    said = dict(line.split("|") for line in _lines(SAID))
    for number, name in enumerate(names):
        if name in said:
            cases.append(Case(said[name], number, "as models say", int(halves[number])))
    strange = _lines(UNKNOWN)
    halves = random.permutation(len(strange)) % 2
    for name, half in zip(strange, halves.tolist(), strict=True):
        cases += [Case(name, None, "unknown", half), Case(mistyped(name, 1, random), None, "unknown with typo", half)]
    return cases


def figures(cases: list[Case], found: list[Any]) -> dict[str, float]:
    """Precision and recall of names that mean something, and how many others are rejected."""
    taken = [(case, one) for case, one in zip(cases, found, strict=True) if one.id is not None]
    right = sum(one.id == case.id for case, one in taken)
    known = sum(case.id is not None for case in cases)
    strange = len(cases) - known
    away = strange - sum(case.id is None for case, _ in taken)
    return {
        "precision": right / max(len(taken), 1),
        "recall": right / max(known, 1),
        "rejected": away / strange if strange else float("nan"),
        "names": len(cases),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--encoder", help="a folder of an encoder; without, names are compared by words and letters alone"
    )
    parser.add_argument("--titles", action="store_true", help="titles of items tell what a category is called besides")
    parser.add_argument("--fit", action="store_true", help="choose on the other half")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--save", action="store_true")
    args = parser.parse_args()
    cases = labelled(args.seed)
    embedder = Local(path=args.encoder).open() if args.encoder else None
    with TemporaryDirectory() as folder:
        path = Path(folder) / "categories.parquet"
        pq.write_table(category_table(), path)
        titles = None
        if args.titles:
            items = Path(folder) / "items.parquet"
            pq.write_table(make_catalogue(args.seed, "small").item_table(), items)
            titles = TitlesConfig(path=str(items), id="cate")
        config = NamesConfig(path=str(path), id="cate", name="english", parent="parent_english", titles=titles)
        names = Names(config, embedder)
        if args.fit:
            seen = [case for case in cases if case.half == 0]
            made = names.calibrated([case.name for case in seen], [case.id for case in seen])
            print(made)
            names = Names(config.model_copy(update={"calibration": made}), embedder)
        held = [case for case in cases if case.half == 1]
        began = time.process_time()
        found = names.map([case.name for case in held])
        seconds = time.process_time() - began
    whole = figures(held, found)
    kinds: dict[str, list[Any]] = defaultdict(list)
    for case, one in zip(held, found, strict=True):
        kinds[case.kind].append((case, one))
    rows = [{"kind": kind, **figures(*map(list, zip(*pairs, strict=True)))} for kind, pairs in kinds.items()]
    record.table([*rows, {"kind": "all", **whole}])
    print(f"{len(held) / seconds:,.0f} names per second of processor time")
    wrong = [
        (case.name, one.nearest, round(one.score, 3), case.kind)
        for case, one in zip(held, found, strict=True)
        if one.id is not None and one.id != case.id
    ]
    for name, nearest, score, kind in wrong:
        print(f"  wrong: {name} -> {nearest} ({score}, {kind})")
    for name, least in BEST.items():
        print(f"{name} {whole[name]:.4f}, bar {least}: {'met' if whole[name] >= least else 'MISSED'}")
    if args.save:
        record.save(
            "llm-naming",
            {"encoder": bool(args.encoder), "figures": whole, "kinds": rows, "names_per_cpu_s": len(held) / seconds},
        )


if __name__ == "__main__":
    main()
