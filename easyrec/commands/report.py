"""Write report.html for a run: curves, ROC, calibration, features, timings, config.

easyrec report runs/deepfm
"""

from __future__ import annotations

import argparse

from easyrec.report import write_report


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec report`."""
    parser.add_argument("run", metavar="RUN", help="folder of the run, e.g. runs/deepfm")


def run(args: argparse.Namespace) -> None:
    """Write the report and name it."""
    print(write_report(args.run))
