"""Look whether an engine can answer: config, catalogue, models, sources, formulas and experiments, and one list of each scene.

easyrec engine check -c engine.yaml
"""

from __future__ import annotations

import argparse

from easyrec.commands._engine import add_engine, engine_config, opened
from easyrec.commands._print import console, count, line, table
from easyrec.errors import ConfigError, DataError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec engine check`."""
    add_engine(parser)
    parser.add_argument("--user", default="0", metavar="ID", help="for whom lists are made [0]")


def run(args: argparse.Namespace) -> None:
    """Load everything, make a list of each scene, and tell what each stage gave.

    Raises:
        ConfigError: A variant of an experiment cannot be.
        DataError: A stage of a scene fails, or a formula reads what there is not.
    """
    from serving.engine.ask import Question  # noqa: PLC0415 (help must not wait for it)
    from serving.engine.posted import id_of  # noqa: PLC0415 (help must not wait for it)

    config = engine_config(args)
    user = id_of(args.user)
    with opened(config) as service:
        engine = service.engine
        for scene in config.scenes:
            plan = engine.plan(scene.name)
            for scorer in (plan.prerank, plan.rank):
                if scorer is not None:
                    scorer.check()
            for _ in range(3):  # the first ones take longer than those that follow
                listed = engine.recommend(Question(scene.name, user))
            shown = table(f"scene '{scene.name}'", "stage", "in", "out", "ms", right=1)
            for stage, (before, after) in listed.counts.items():
                ms = 1000.0 * listed.times.get(stage, 0.0)
                shown.add_row(stage, count(before) if before else "", count(after), f"{ms:.2f}")
            console().print(shown)
            failed = [one for one in listed.degraded if not one.endswith(("deadline", "not asked"))]
            if failed:
                raise DataError(f"scene '{scene.name}': a stage fails: {'; '.join(failed)}; the log above tells why")
            for one in listed.degraded:
                line(f"left out, as it took too long here: {one}")
            wanted = scene.size
            if len(listed.candidates) < wanted:
                line(f"the list has {len(listed.candidates)} items, and not {wanted}: no more may be shown")
        for name, scene_name, parameters in engine.variants():
            try:
                engine.plan(scene_name, parameters)
            except ConfigError as error:  # noqa: PERF203 (there are few)
                raise ConfigError(f"variant '{name}': {error.problems[0].message}") from None
        items = len(engine.plan("").rows)
    line(f"the engine can answer: {count(items)} items, {len(config.scenes)} scenes, {len(config.models)} models")
