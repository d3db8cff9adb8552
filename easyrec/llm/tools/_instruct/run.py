"""`run`: draws moments, tells them, counts, writes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from easyrec.durable import sync, write_text
from easyrec.errors import ConfigError, DataError, MissingExtra, RunError
from easyrec.llm.asking import write_report
from easyrec.llm.behaviour import Behaviour
from easyrec.llm.client.answers import TOKENS_PER_MESSAGE, tokens_in
from easyrec.llm.events import end_of
from easyrec.llm.texts import Texts
from easyrec.llm.tools._instruct.samples import Moment, Samples
from easyrec.llm.tools.instruct import Config, Instructed

PARTS = ("train", "valid")
TELL = 100
"""After so many progress is told."""


def run(own: Config, *, progress: Callable[[int], object] | None = None) -> Instructed:
    """See `easyrec.llm.tools.instruct.instruct`."""
    texts = Texts(own.items, "instruct.items")
    behaviour = Behaviour(own.events, texts.ids, "instruct.events")
    count, folder = _counter(own.tokenizer), Path(own.output)
    split = None
    if own.valid_from is not None:
        split = end_of(own.events.model_copy(update={"before": own.valid_from}), behaviour.time_type)
    samples = Samples(own, texts, behaviour)
    moments = samples.moments(split)
    if not moments["train"]:
        raise DataError(f"no user has {own.least} events before another one in training", file=own.events.path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"cannot write {folder}: {error.strerror or error}") from None
    counts: dict[str, Counter[str]] = {part: Counter() for part in PARTS}
    tokens, longest, left = Counter[str](), Counter[str](), Counter[str]()

    def told(part: str, some: Sequence[Moment]) -> Iterator[str]:
        for number, moment in enumerate(some, 1):
            if progress is not None and number % TELL == 0:
                progress(TELL)
            made = samples.talk(moment)
            if made is None:
                left["nothing"] += 1
                continue
            talk, answer = made
            messages = [one.as_json() for one in talk] + [{"role": "assistant", "content": answer}]
            size = sum(count(one["content"]) + TOKENS_PER_MESSAGE for one in messages)
            if size > own.most_tokens:
                left["long"] += 1
                continue
            task = own.tasks[moment.task].type
            counts[part][task] += 1
            tokens[part] += size
            longest[part] = max(longest[part], size)
            yield json.dumps({"messages": messages, "task": task}, ensure_ascii=False) + "\n"

    for part in PARTS:
        _write(folder / f"{part}.jsonl", told(part, moments[part]))
    if not counts["train"]:
        raise DataError(f"nothing is left of {len(moments['train']):,} moments: {dict(left)}", file=own.events.path)
    write_text(folder / "dataset_info.json", json.dumps(_info(), indent=2) + "\n")
    more: dict[str, Any] = {
        "samples": {part: dict(one) for part, one in counts.items()},
        "tokens_of": {part: tokens[part] for part in PARTS},
        "longest": {part: longest[part] for part in PARTS},
        "tokens_are": "counted" if own.tokenizer else "estimated",
        "too_long": left["long"],
        "too_little_known": left["nothing"],
        "valid_from": None if own.valid_from is None else str(own.valid_from),
    }
    report = write_report(folder, "instruct", own, {}, more)
    return Instructed(more["samples"], more["tokens_of"], own.tokenizer is not None, left["long"], own.output, report)


def _info() -> dict[str, Any]:
    """What LLaMA-Factory wants to know of files."""
    tags = {
        "role_tag": "role",
        "content_tag": "content",
        "user_tag": "user",
        "assistant_tag": "assistant",
        "system_tag": "system",
    }
    form = {"formatting": "sharegpt", "columns": {"messages": "messages"}, "tags": tags}
    return {f"easyrec_{part}": {"file_name": f"{part}.jsonl", **form} for part in PARTS}


def _write(path: Path, lines: Iterator[str]) -> None:
    """Write lines, all of them or nothing.

    Raises:
        RunError: The disk refuses; a former file stays.
    """
    partial = path.with_name(f".{path.name}.writing")
    try:
        with partial.open("w", encoding="utf-8", errors="replace", newline="\n") as file:
            file.writelines(lines)
        sync(partial)
        partial.replace(path)
        sync(path.parent)
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)


def _counter(path: str | None) -> Callable[[str], int]:
    """Counts the tokens of a text.

    Raises:
        ConfigError: The tokenizer cannot be read.
        MissingExtra: The package tokenizers is not installed.
    """
    if path is None:
        return tokens_in
    try:
        from tokenizers import Tokenizer  # noqa: PLC0415 (an extra)
    except ImportError:
        raise MissingExtra("tokenizers", "llm") from None
    try:
        tokenizer = Tokenizer.from_file(path)
    except Exception as error:  # noqa: BLE001 (the package raises no other)
        raise ConfigError(f"instruct.tokenizer: {path} cannot be read: {error}") from None
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)
