"""`easyrec COMMAND`: finds the command's file, runs it, and turns errors into one screen and an exit code.

Exit codes: 0 done, 2 bad config or usage, 3 bad data, 1 everything else, 130 interrupted.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from easyrec.processors import wait_asleep

if TYPE_CHECKING:
    from feature_generator.errors import ConfigError

COMMANDS = Path(__file__).parent / "commands"
EXIT_CODES = "exit codes: 0 done, 2 bad config or usage, 3 bad data, 1 everything else, 130 interrupted"


def commands() -> dict[str, Path]:
    """Every command with its file in `commands/`."""
    return {path.stem.replace("_", "-"): path for path in sorted(COMMANDS.glob("[a-z]*.py"))}


def tools(command: str) -> dict[str, Path]:
    """The tools of a command, `easyrec COMMAND TOOL`, with their files `_<command>_<tool>.py`."""
    found = {path.stem.removeprefix(f"_{command}_"): path for path in sorted(COMMANDS.glob(f"_{command}_*.py"))}
    return {name.replace("_", "-"): path for name, path in found.items()}


def first_line(path: Path) -> str:
    """First line of a source file's docstring, its one-line help: read but not imported."""
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0].rstrip(".")


def overview() -> str:
    """What `easyrec --help` says."""
    known = commands()
    width = max(map(len, known))
    lines = [f"  {name:<{width}}  {first_line(path)}" for name, path in known.items()]
    return "\n".join(
        [
            "usage: easyrec COMMAND [-c CONFIG] [-o key=value ...] [options]",
            "",
            "One YAML trains, evaluates, exports and serves a recommendation model.",
            "",
            "commands:",
            *lines,
            "",
            "easyrec COMMAND --help lists a command's options; easyrec --version says which version this is.",
            EXIT_CODES,
        ]
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line.

    Args:
        argv: Words after `easyrec`; default: those of the process.

    Returns:
        The exit code.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    wait_asleep()
    try:
        code = _dispatch(words)
        sys.stdout.flush()  # here, where it is told below: a short text would else be written when the process ends
        return code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has gone, e.g. `easyrec schema | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # noqa: BLE001 (the process edge: every error ends as one screen and a code)
        return _report(error, "--traceback" in words)


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(overview())
        return 0
    if words[0] in ("-V", "--version"):
        from easyrec.errors import version  # noqa: PLC0415 (help must not wait for it)

        print(f"easyrec {version()}")
        return 0
    name, rest = words[0], words[1:]
    known = commands()
    if name not in known:
        from feature_generator.errors import nearest  # noqa: PLC0415 (help must not wait for it)

        print(f"easyrec: unknown command '{name}'{nearest(name, known)}\n\n{overview()}", file=sys.stderr)
        return 2
    module, found = importlib.import_module(f"easyrec.commands.{name.replace('-', '_')}"), tools(name)
    if found and (not rest or rest[0] in ("-h", "--help", "help")):
        print(_tools_overview(name, module.__doc__ or "", found))
        return 0 if rest else 2
    if found:
        # Words without a tool are the default tool's: the command was that tool before there were others.
        named = not rest[0].startswith("-") and (rest[0] in found or not getattr(module, "DEFAULT_TAKES_WORDS", False))
        tool, rest = (rest[0], rest[1:]) if named else (module.DEFAULT, rest)
        if tool not in found:
            from feature_generator.errors import nearest  # noqa: PLC0415 (help must not wait for it)

            text = f"easyrec {name}: unknown tool '{tool}'{nearest(tool, found)}; known: {', '.join(found)}"
            print(text, file=sys.stderr)
            return 2
        module, name = importlib.import_module(f"easyrec.commands._{name}_{tool.replace('-', '_')}"), f"{name} {tool}"
    parser = argparse.ArgumentParser(
        prog=f"easyrec {name}",
        description=module.__doc__,
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    module.configure(parser)
    parser.add_argument("--traceback", action="store_true", help="show where in the code an error arose")
    try:
        args = parser.parse_args(rest)
    except SystemExit as stop:  # argparse prints and exits; here it only ends the command
        return int(stop.code or 0)
    from feature_generator.errors import ConfigError  # noqa: PLC0415 (help must not wait for it)

    try:
        code: int | None = module.run(args)
    except ConfigError as error:
        told = _placed(error, args)
        if told is error:
            raise
        raise told from error
    return code or 0


def _placed(error: ConfigError, args: argparse.Namespace) -> ConfigError:
    """The same; what was found wrong with a config only while it was followed is told with its line too."""
    from feature_generator.document import placed, read_config  # noqa: PLC0415 (help must not wait for it)

    file = getattr(args, "config", None)
    if isinstance(file, str) and Path(file).is_file():
        with contextlib.suppress(type(error)):  # the file itself is what is wrong, and is told
            return placed(error, read_config(file, getattr(args, "override", None)))
    return error


def _tools_overview(command: str, text: str, found: dict[str, Path]) -> str:
    width = max(map(len, found))
    lines = [f"  {name:<{width}}  {first_line(path)}" for name, path in found.items()]
    usage = f"usage: easyrec {command} TOOL [-c CONFIG] [options]"
    hint = f"easyrec {command} TOOL --help lists a tool's options."
    return "\n".join([usage, "", text.strip(), "", "tools:", *lines, "", hint, EXIT_CODES])


def _report(error: Exception, with_traceback: bool) -> int:
    """Print the error on stderr; errors that carry an `exit_code` are the user's to mend."""
    if with_traceback:
        traceback.print_exception(error)
    code = getattr(error, "exit_code", None)
    if code is not None:
        text = str(error)
    elif isinstance(error, OSError) and error.strerror:
        name = error.filename2 or error.filename
        text = f"{name}: {error.strerror}" if name else error.strerror
    else:
        from feature_generator.plugins import blamed  # noqa: PLC0415 (help must not wait for it)

        text, plugin = f"{type(error).__name__}: {error}", blamed(error)
        if plugin:
            text = f"{plugin}: {text}\n\nThe plugin fails here; --traceback shows how it came to that."
        elif not with_traceback:
            text += "\n\nThis is a fault of the program; --traceback shows where it arose."
    if text:  # a worker of several leaves it to another one to tell
        print(text, file=sys.stderr)
    return int(code or 1)


if __name__ == "__main__":
    sys.exit(main())
