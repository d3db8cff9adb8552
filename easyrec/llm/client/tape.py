"""`Tape`: answers of a server in a file, to be played where there is none."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from easyrec.errors import DataError, ModelError
from easyrec.llm.client.asked import key_of


class Tape:
    """Records answers, a JSON object a line, or plays them. Keys and other headers are never on it.

    Equal questions that were asked several times are answered in their order, and the last answer is repeated.

    Args:
        path: The file.
        mode: `record` adds to it what servers answer; `play` asks no server.

    Attributes:
        records: Whether it records.

    Raises:
        DataError: It cannot be read, or a line is none of ours.
    """

    def __init__(self, path: str | os.PathLike[str], mode: Literal["record", "play"] = "play") -> None:
        self.path, self.records = Path(path), mode == "record"
        self._held: dict[str, list[dict[str, Any]]] = {}
        self._played: dict[str, int] = {}
        if not self.records:
            self._read()

    def _read(self) -> None:
        """Take in what was recorded."""
        try:
            lines = self.path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{self.path}: the tape cannot be read: {error}") from None
        for number, line in enumerate(lines, 1):
            try:
                entry = json.loads(line)
                self._held.setdefault(entry["key"], []).append(entry)
            except (ValueError, KeyError, TypeError):  # noqa: PERF203 (it names the line)
                raise DataError(f"{self.path}, line {number}: is no answer that was recorded") from None

    def answer(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """What was answered to this.

        Raises:
            ModelError: It was never asked.
        """
        return self._next(path, body)["answer"]  # type: ignore[no-any-return]

    def pieces(self, path: str, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """What was answered to this, piece by piece.

        Raises:
            ModelError: It was never asked.
        """
        yield from self._next(path, body)["pieces"]

    def _next(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        key = key_of(path, body)
        answers = self._held.get(key)
        if not answers:
            raise ModelError(f"{self.path}: nobody has recorded an answer to this request to {path}: record it anew")
        played = self._played.get(key, 0)
        self._played[key] = played + 1
        return answers[min(played, len(answers) - 1)]

    def keep(self, path: str, body: dict[str, Any], answer: dict[str, Any]) -> None:
        """Record an answer."""
        self._add({"key": key_of(path, body), "path": path, "asked": body, "answer": answer})

    def keep_pieces(self, path: str, body: dict[str, Any], pieces: list[dict[str, Any]]) -> None:
        """Record an answer that came in pieces."""
        self._add({"key": key_of(path, body), "path": path, "asked": body, "pieces": pieces})

    def _add(self, entry: dict[str, Any]) -> None:
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry, ensure_ascii=False) + "\n")
        except OSError as error:
            raise ModelError(f"{self.path}: the answer cannot be recorded: {error.strerror or error}") from None
