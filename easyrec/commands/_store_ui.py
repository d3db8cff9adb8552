"""Serve a page to look at the store: views, values of a key, quality, lineage, versions.

easyrec store ui -c store.yaml
easyrec store ui -c store.yaml --config experiment.yaml --bundle runs/x/bundle -o ui.port=9000
"""

from __future__ import annotations

import argparse

from easyrec.commands._options import add_overrides, add_plugin, plug_all
from easyrec.commands._print import line
from easyrec.commands._store import definitions
from easyrec.commands._store_lineage import add_models, graph_of


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec store ui`."""
    parser.add_argument("-c", "--store", dest="config", required=True, metavar="FILE", help="the store's YAML")
    add_overrides(parser)
    add_plugin(parser)
    add_models(parser)


def run(args: argparse.Namespace) -> None:
    """Serve until Ctrl+C or SIGTERM."""
    from easyrec.store_ui.run import serve_ui  # noqa: PLC0415 (help must not wait for it)

    plug_all(args)
    config = definitions(args)
    serve_ui(config, graph_of(args, config), lambda address: line(f"the store's page: {address}"))
