"""Name everything wrong with a config, then build the model, sample the data and print the plan.

Nothing is trained, and nothing is written but the drawing that --graph asks for.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from easyrec.check import Built, Inspection, build, inspect
from easyrec.commands._options import add_experiment, plug_all, positive
from easyrec.commands._print import console, count, size, table
from easyrec.config import Experiment, load_experiment
from easyrec.config.experiment import read_document
from easyrec.config.space import unsearched
from easyrec.config.statistic import StatisticConfig
from easyrec.data import open_sources
from easyrec.data.catalogue import Catalogue
from easyrec.data.sample import FeatureSample
from easyrec.errors import ConfigError, DataError
from easyrec.report.graph import write_graph
from easyrec.tune.search import Search, load_search


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec check`."""
    add_experiment(parser)
    parser.add_argument("--config-only", action="store_true", help="stop after config and model: touch no data")
    parser.add_argument("--graph", metavar="SVG", help="draw the model: groups, blocks, heads")
    parser.add_argument(
        "--rows", type=positive, default=10_000, metavar="N", help="rows to sample of each part [10000]"
    )


def run(args: argparse.Namespace) -> None:
    """Check, and print what was found."""
    found, search = _read(args)
    out = console()
    built = build(found)
    if args.graph:
        _draw(args.graph, found, built)
    doubt = _look_ahead(found, built)
    _judge_sections(found, data=not args.config_only)
    inspection = None if args.config_only else inspect(found, built, args.rows, _search)
    out.print(f"[bold]{escape(found.name)}[/]: the config is valid")
    if search is not None:
        spaces = ", ".join(parameter.name for parameter in search.parameters)
        told = f"spaces, whose corners are valid: {spaces}; below, each has its first value"
        out.print(told, markup=False, soft_wrap=True)
    if inspection is None:
        _warn(out, [*found.doubts(), *doubt])
        return
    for part in (_parts, _labels, _bad, _columns, _features, _tables, _groups, _totals):
        part(out, inspection)
    _warn(out, [*inspection.doubts(), *doubt])
    sys.stdout.flush()
    faults = inspection.faults()
    if faults:
        raise DataError("the data would stop or spoil training:\n" + "\n".join(f"  {fault}" for fault in faults))


def _read(args: argparse.Namespace) -> tuple[Experiment, Search | None]:
    """The experiment, and the search whose first point it is where the config has spaces."""
    plug_all(args)
    if not unsearched(read_document(args.config, args.override)):
        return load_experiment(args.config, args.override), None
    search = load_search(args.config, args.override)
    return search.first, search


def _judge_sections(experiment: Experiment, *, data: bool) -> None:
    """Refuse what `easyrec select`, `cross` and `distill` would refuse of a config that has their sections."""
    if experiment.sections.select is not None:
        from easyrec.tune.select import api as select  # noqa: PLC0415 (torch stays out until a model is built)

        select.refuse_unfit(experiment)
    if experiment.sections.cross is not None and data:
        from easyrec.tune.cross import api as cross  # noqa: PLC0415 (torch stays out until a model is built)
        from easyrec.tune.cross.rows import Reader  # noqa: PLC0415

        cross.refuse_unfit(experiment, Reader(experiment, None))
    if experiment.distill is not None and data:
        from easyrec.train.taught import teach  # noqa: PLC0415 (torch stays out until a model is built)

        teach(experiment, open_sources(experiment), Path())


def _look_ahead(experiment: Experiment, built: Built) -> list[str]:
    if built.model is None:
        return []
    from easyrec.train.ahead import look_ahead  # noqa: PLC0415 (torch stays out until a model is built)

    doubt = look_ahead(experiment, built.plan, built.model)
    return [doubt] if doubt else []


def _search(experiment: Experiment, catalogue: Catalogue) -> None:
    from easyrec.train.codes import codes_of  # noqa: PLC0415 (torch stays out until a model is built)

    codes_of(experiment, catalogue)


def _warn(out: Console, doubts: list[str]) -> None:
    for doubt in doubts:
        out.print(f"[yellow]warning:[/] {escape(doubt)}", soft_wrap=True)


def _draw(path: str, found: Experiment, built: Built) -> None:
    if not path.lower().endswith(".svg"):
        raise ConfigError("the drawing is SVG: name a file that ends in .svg", path)
    subtitle = (
        f"{found.model.type}: {built.plan.parameters:,} weights in tables, {built.dense_parameters:,} in the dense part"
    )
    write_graph(path, built.picture(), found.name, subtitle)
    console().print(f"{escape(path)}: the model, drawn", soft_wrap=True)


def _parts(out: Console, found: Inspection) -> None:
    shown = table("data", "part", "source", "rows", "sampled", right=2)
    for part, seen in found.samples.items():
        config = getattr(found.experiment.data, part)
        named = getattr(config, "path", None) or getattr(config, "name", "")
        listed = ", ".join(named) if isinstance(named, list) else str(named)
        total = count(seen.total) if seen.total is not None else "?"
        shown.add_row(part, f"{config.type} {listed}".strip(), total, count(seen.rows))
    out.print(shown)


def _labels(out: Console, found: Inspection) -> None:
    shown = table("labels", "part", "label", "mean", "unusable", "most frequent values", right=2, numbers=2)
    for part, seen in found.samples.items():
        for name, label in seen.labels.items():
            values = ", ".join(f"{value}: {count(n)}" for value, n in list(label.values.items())[:4])
            shown.add_row(part, name, f"{label.mean:.4g}", f"{label.unusable:.1%}", values)
    if shown.row_count:
        out.print(shown)


def _bad(out: Console, found: Inspection) -> None:
    """Bad values that the policy excuses; without one they are faults."""
    policy = found.experiment.data.bad_rows
    shown = table(f"bad values ({policy})", "part", "column", "reason", "values", right=3)
    for part, seen in found.samples.items() if policy != "fail" else ():
        for (column, reason), number in seen.bad.items():
            shown.add_row(part, column or "(row)", reason, count(number))
    if shown.row_count:
        out.print(shown)


def _columns(out: Console, found: Inspection) -> None:
    part, seen = next(iter(found.samples.items()))
    shown = table(f"columns of {part}", "column", "type", "missing", "example", right=2, numbers=1)
    for name, column in seen.columns.items():
        shown.add_row(name, column.type, f"{column.missing:.1%}", column.example.replace("\n", " "))
    out.print(shown)


def _features(out: Console, found: Inspection) -> None:
    seen: dict[str, FeatureSample] = {}
    for sample in reversed(found.samples.values()):
        seen |= sample.features
    dims = {bag.feature: bag for group in found.plan.groups.values() for bag in group.fields}
    dims |= {bag.feature: bag for g in found.plan.groups.values() for bags in g.sequences for bag in bags}
    shown = table("features", "feature", "side", "kind", "table", "ids", "dim", "empty", "unknown", "distinct", right=4)
    numeric = {field.name: field for layout in found.plan.layouts.values() for field in layout.numeric}
    composed = {one.name: one for layout in found.plan.layouts.values() for one in layout.composed}
    composed |= {c.name: c for layout in found.plan.layouts.values() for s in layout.sequences for c in s.composed}
    for name, spec in found.experiment.generator.outputs.items():
        bag, made, sampled = dims.get(name), numeric.get(name), seen.get(name)
        whole = composed.get(name)
        dim = (
            whole.dim
            if whole
            else bag.dim
            if bag
            else made.dim
            if made
            else spec.value_dim
            if spec.kind == "dense"
            else ""
        )
        shown.add_row(
            name,
            spec.side,
            spec.kind.replace("_", " "),
            f"{whole.table} ({whole.config.type})"
            if whole
            else (bag.table or "")
            if bag
            else f"({made.config.type})"
            if made
            else "",
            count(spec.rows) if spec.rows else "",
            str(dim),
            f"{sampled.empty:.1%}" if sampled else "",
            f"{sampled.unknown:.1%}" if sampled and sampled.unknown is not None else "",
            count(sampled.distinct) if sampled and sampled.distinct is not None else "",
        )
    out.print(shown)
    read = {*dims, *numeric, *(span.name for layout in found.plan.layouts.values() for span in layout.dense)}
    read |= {bag.feature for group in found.plan.groups.values() for bag in group.first}
    unread = [name for name in found.experiment.generator.outputs if name not in read]
    if unread and found.experiment.data.sampler is None and found.plan.groups:
        told = "made all the same, and a request to its bundle must bring their columns"
        out.print(f"in no group of the model: {escape(', '.join(unread))}; {told}", soft_wrap=True)


def _tables(out: Console, found: Inspection) -> None:
    if not found.plan.tables:
        return
    shown = table("embedding tables", "table", "features", "rows", "dim", "parameters", "memory", right=2)
    first = [spec for spec in found.plan.tables if spec.name.endswith(":first")]
    for spec in found.plan.tables:
        if spec not in first:
            features = ", ".join(spec.features)
            shown.add_row(spec.name, features, count(spec.rows), spec.dim, count(spec.parameters), size(spec.bytes))
    if first:
        rows, total = sum(spec.rows for spec in first), sum(spec.bytes for spec in first)
        shown.add_row("(first-order weights)", f"of {len(first)} tables", count(rows), 1, count(rows), size(total))
    out.print(shown)


def _groups(out: Console, found: Inspection) -> None:
    shown = table("what the model reads", "group", "fields", "width", "dense", "sequences", right=1, numbers=3)
    for name, layout in found.plan.layouts.items():
        sequences = ", ".join(f"{s.name} ({s.dim} wide)" for s in layout.sequences)
        shown.add_row(name, str(layout.num_fields), str(layout.joined().width), str(layout.dense_width), sequences)
    if shown.row_count:
        out.print(shown)


def _totals(out: Console, found: Inspection) -> None:
    model, memory = found.experiment.model, found.memory
    if isinstance(model, StatisticConfig):
        items = found.samples["items"].total or found.samples["items"].rows
        entries = model.entries(items)
        told = f"at most {count(entries)} entries for {count(items)} items, {size(4 * entries)}"
        out.print(f"[bold]{model.type}[/]: counted in one pass over the rows; {told}")
        return
    out.print(
        f"[bold]{found.experiment.model.type}[/]: {count(found.plan.parameters)} parameters in tables, "
        f"{count(found.dense_parameters)} in the dense part; memory {size(memory.total)} "
        f"(tables {size(memory.tables)}, their optimizer {size(memory.optimizer)}, dense part {size(memory.dense)})"
    )
    if memory.disk:
        out.print(f"on disk {size(memory.disk)}: of each large table {count(memory.hot)} rows at most are in memory")
