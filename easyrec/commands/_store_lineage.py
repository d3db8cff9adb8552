"""Tell what is made of what, column by column, from source tables to endpoints; and what breaks where a column goes.

easyrec store lineage -c store.yaml --config experiment.yaml --bundle runs/x/bundle --serving serving.yaml
easyrec store lineage -c store.yaml --config configs/*.yaml --impact users.age
easyrec store lineage -c store.yaml --config experiment.yaml --upstream ctr.age_x_cate --json
easyrec store lineage -c store.yaml --config experiment.yaml --html lineage.html --openlineage events.jsonl
"""

from __future__ import annotations

import argparse
import datetime
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from easyrec.commands._options import add_overrides, add_plugin, plug_all
from easyrec.commands._print import console, count, line, table
from easyrec.commands._store import definitions
from easyrec.durable import write_text

if TYPE_CHECKING:
    from easyrec.lineage.graph import Graph, Impact, Node
    from easyrec.store.definitions import StoreConfig


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec store lineage`."""
    parser.add_argument("-c", "--store", dest="config", required=True, metavar="FILE", help="the store's YAML")
    add_overrides(parser)
    add_plugin(parser)
    add_models(parser)
    asked = parser.add_mutually_exclusive_group()
    asked.add_argument("--upstream", metavar="NAME", help="tell what this is made of")
    asked.add_argument("--downstream", metavar="NAME", help="tell what is made of this")
    asked.add_argument(
        "--impact", nargs="+", metavar="TABLE.COLUMN", help="tell what breaks without these; 1 where a model does"
    )
    parser.add_argument("--json", action="store_true", help="JSON instead of tables")
    parser.add_argument("--html", metavar="FILE", help="write a page to look at, to filter and to click")
    parser.add_argument("--openlineage", metavar="FILE", help="write events of OpenLineage, one a line")


def add_models(parser: argparse.ArgumentParser) -> None:
    """Add what names models and servers."""
    parser.add_argument(
        "--config",
        dest="experiments",
        nargs="+",
        default=[],
        metavar="FILE",
        help="YAMLs of models, or folders of runs",
    )
    parser.add_argument("--bundle", nargs="+", default=[], metavar="DIR", help="bundles of these or other models")
    parser.add_argument("--serving", nargs="+", default=[], metavar="FILE", help="YAMLs of servers, with their bundles")
    parser.add_argument(
        "--features",
        metavar="MODEL",
        help="which of the store's models all of these read [the one that is called like each, else the only one]",
    )


def graph_of(args: argparse.Namespace, config: StoreConfig) -> Graph:
    """The graph of what the options name."""
    from easyrec.lineage.build import lineage  # noqa: PLC0415 (help must not wait for it)

    return lineage(config, args.experiments, args.bundle, args.serving, args.features)


def run(args: argparse.Namespace) -> int:
    """Make the graph, and tell what is asked of it."""
    plug_all(args)
    config = definitions(args)
    graph = graph_of(args, config)
    if args.html:
        from easyrec.lineage.page import lineage_page  # noqa: PLC0415 (help must not wait for it)

        write_text(Path(args.html), lineage_page(graph, f"{config.project}: lineage"))
    if args.openlineage:
        write_text(Path(args.openlineage), _events(graph, config))
    if args.impact:
        found = graph.impact([graph.find(name, ("column", "field")).id for name in args.impact])
        _tell_impact(graph, found, args.json)
        return int(bool(found.models or found.untrained))
    if args.upstream or args.downstream:
        start = graph.find(args.upstream or args.downstream)
        nodes = graph.upstream(start.id) if args.upstream else graph.downstream(start.id)
        _tell_nodes(f"{'upstream' if args.upstream else 'downstream'} of {start.id}", nodes, args.json)
    elif args.json:
        line(json.dumps(graph.told(), ensure_ascii=False))
    elif not (args.html or args.openlineage):
        _tell_all(graph)
    return 0


def _events(graph: Graph, config: StoreConfig) -> str:
    from easyrec.lineage.openlineage import events  # noqa: PLC0415 (help must not wait for it)
    from easyrec.lineage.views import query_of  # noqa: PLC0415 (help must not wait for it)

    queries = {view.name: query_of(view) for view in config.views}
    known = {name: query for name, query in queries.items() if query is not None}
    made = events(graph, config.project, datetime.datetime.now(datetime.timezone.utc), known)
    return "".join(f"{json.dumps(event, ensure_ascii=False)}\n" for event in made)


def _tell_impact(graph: Graph, found: Impact, as_json: bool) -> None:
    if as_json:
        line(json.dumps(found.told(), ensure_ascii=False))
        return
    shown = table(f"without {', '.join(found.removed)}", "what breaks", "name", right=2)
    fields = [graph.nodes[node].shown for node in found.broken if graph.nodes[node].kind == "field"]
    for what, names in (
        ("fields of views", fields),
        ("models", found.models),
        ("training of models that answer on", found.untrained),
        ("versions", found.versions),
        ("endpoints", found.endpoints),
    ):
        for name in names:
            shown.add_row(what, name)
    console().print(shown)
    if not (found.models or found.untrained):
        line("no model breaks")


def _tell_nodes(title: str, nodes: Sequence[Node], as_json: bool) -> None:
    if as_json:
        told = [
            {"id": node.id, "kind": node.kind, "group": node.group, "name": node.name, **node.facts} for node in nodes
        ]
        line(json.dumps(told, ensure_ascii=False))
        return
    shown = table(title, "kind", "name", "facts", right=3)
    for node in nodes:
        shown.add_row(node.kind, node.shown, ", ".join(f"{key} {value}" for key, value in node.facts.items()))
    console().print(shown)


def _tell_all(graph: Graph) -> None:
    from easyrec.lineage.build import untraced  # noqa: PLC0415 (help must not wait for it)
    from easyrec.lineage.graph import KINDS  # noqa: PLC0415 (help must not wait for it)

    shown = table("lineage", "what", "count", right=1)
    for kind, called in KINDS.items():
        shown.add_row(called, count(len(graph.of_kind(kind))))
    console().print(shown)
    models = table("models", "model", "inputs", "source columns", "tables", right=1, numbers=2)
    for model in graph.of_kind("model"):
        above = graph.upstream(model.id)
        columns = [node for node in above if node.kind == "column"]
        inputs = sum(node.kind == "input" for node in above)
        models.add_row(
            model.shown, count(inputs), count(len(columns)), ", ".join(dict.fromkeys(n.group for n in columns))
        )
    console().print(models)
    for node in untraced(graph):
        line(f"the input {node.shown} is made of no column")
