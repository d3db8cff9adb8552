"""Answer requests until SIGTERM or Ctrl+C.

easyrec serve -c serving.yaml
easyrec serve runs/my_shop/bundle
easyrec serve runs/my_shop/bundle -o port=9000 processes=2
"""

from __future__ import annotations

import argparse
from pathlib import Path

from easyrec.commands._options import add_overrides, add_plugin, plug_all
from easyrec.errors import ConfigError
from serving.server.config import load_server_config
from serving.server.run import serve


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec serve`."""
    parser.add_argument("bundle", nargs="?", metavar="BUNDLE", help="one bundle, served with the defaults")
    parser.add_argument("-c", "--config", metavar="FILE", help="the server's YAML")
    add_overrides(parser)
    add_plugin(parser)


def run(args: argparse.Namespace) -> None:
    """Serve."""
    plug_all(args)
    if (args.bundle is None) == (args.config is None):
        raise ConfigError("easyrec serve takes either a bundle or -c serving.yaml")
    source = args.config
    if source is None:
        if "://" not in args.bundle and not Path(args.bundle).exists():
            raise ConfigError(f"{args.bundle}: no such bundle, and no tool of 'easyrec serve'")
        source = {"models": [{"name": "model", "bundle": args.bundle}]}
    serve(load_server_config(source, args.override), plugins=args.plugin, operators=args.operators)
