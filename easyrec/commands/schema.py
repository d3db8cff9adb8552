"""Print the JSON schema of an experiment, for editors and for reading.

Put it beside the configs and name it in the first line of a YAML, and editors complete and check as you type:

    easyrec schema > experiment.schema.json
    # yaml-language-server: $schema=experiment.schema.json
"""

from __future__ import annotations

import argparse
import json

from easyrec.commands._options import add_plugin, plug_all
from easyrec.config.schema import experiment_schema


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec schema`."""
    add_plugin(parser)


def run(args: argparse.Namespace) -> None:
    """Print the schema."""
    plug_all(args)
    print(json.dumps(experiment_schema(), indent=1, ensure_ascii=False))
