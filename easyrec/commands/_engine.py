"""What the tools of `easyrec engine` share."""

from __future__ import annotations

import argparse
import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from easyrec.commands._options import add_overrides, add_plugin, plug_all
from easyrec.errors import ConfigError

if TYPE_CHECKING:
    from serving.engine.config import EngineConfig
    from serving.engine.service import EngineService


def add_engine(parser: argparse.ArgumentParser) -> None:
    """Add `-c`, `-o` and `--plugin`."""
    parser.add_argument("-c", "--config", required=True, metavar="FILE", help="the engine's YAML")
    add_overrides(parser)
    add_plugin(parser)


def engine_config(args: argparse.Namespace) -> EngineConfig:
    """What the YAML says.

    Raises:
        ConfigError: Everything wrong with it, with lines.
    """
    from serving.engine.config import load_engine_config  # noqa: PLC0415 (help must not wait for it)

    plug_all(args)
    return load_engine_config(args.config, args.override)


def add_question(parser: argparse.ArgumentParser) -> None:
    """Add what is asked."""
    parser.add_argument("--user", required=True, metavar="ID", help="whose list")
    parser.add_argument("--scene", default="", metavar="NAME", help="which scene [the first]")
    parser.add_argument("--size", type=int, metavar="N", help="how many items [as the scene says]")
    parser.add_argument("--columns", default="{}", metavar="YAML", help="columns of the user, e.g. '{age: 31}'")
    parser.add_argument("--context", default="{}", metavar="YAML", help="columns of the request, e.g. '{hour: 9}'")
    parser.add_argument("--time", type=int, metavar="MS", help="milliseconds since 1970 [now]")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of what is random [0]")
    parser.add_argument("--request-id", metavar="TEXT", help="of what is random [a fresh one]")
    parser.add_argument(
        "--with",
        dest="parameters",
        action="extend",
        nargs="+",
        default=[],
        metavar="PATH=VALUE",
        help="what would be, as an experiment says it: rank.score='ctr' recall.ann.count=100",
    )


def asked(args: argparse.Namespace) -> dict[str, Any]:
    """The question as `/recommend` takes it.

    Raises:
        ConfigError: A value cannot be read.
    """
    from serving.engine.posted import id_of  # noqa: PLC0415 (help must not wait for it)

    question: dict[str, Any] = {"user_id": id_of(args.user)}
    for key in ("scene", "size", "time", "request_id"):
        value = getattr(args, key)
        if value not in (None, ""):
            question[key] = value
    question["seed"] = args.seed
    for option, key in (("columns", "user"), ("context", "context")):
        question[key] = _yaml(getattr(args, option), f"--{option}")
        if not isinstance(question[key], dict):
            raise ConfigError(f"--{option} must be a mapping of columns, such as '{{age: 31}}'")
    return question


def parameters_of(args: argparse.Namespace) -> dict[str, Any]:
    """What `--with` lays over the scene.

    Raises:
        ConfigError: A word is not PATH=VALUE.
    """
    from easyrec.commands._options import pairs  # noqa: PLC0415 (beside its like)

    return {path: _yaml(text, f"--with {path}") for path, text in pairs(args.parameters)}


def _yaml(text: str, option: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        raise ConfigError(f"{option}: '{text[:100]}' is not valid YAML") from None


@contextlib.contextmanager
def opened(config: EngineConfig) -> Iterator[EngineService]:
    """The engine in this process, with its models loaded; nothing of it is written down.

    Raises:
        ConfigError: A model cannot be used.
        DataError: The catalogue, or what a stage reads, is not as it must be.
    """
    from serving.engine.service import EngineService  # noqa: PLC0415 (an extra)
    from serving.engine.worker import one_thread_a_search  # noqa: PLC0415 (an extra)
    from serving.server.run import need  # noqa: PLC0415 (an extra)

    need()
    one_thread_a_search()
    quiet = config.model_copy(update={"processes": 1, "request_log": None, "drift": None})
    with tempfile.TemporaryDirectory(prefix="easyrec-engine-") as folder:
        service = EngineService(quiet, Path(folder))
        try:
            service.keeper.begin()
            for model in service.models:
                for version in model.versions:
                    if version.current is None:
                        service.engine.shelf.read()  # its items are models' items too: what is wrong with it comes first
                        outcome = service.keeper.look(model, version, forced=True)
                        raise ConfigError(f"model '{model.name}' cannot be loaded: {outcome.why}")
            service.engine.begin(strict=True)
            yield service
        finally:
            service.admission.pool.shutdown()
            service.after.close()
            service.engine.close()
            service.models.close()
