"""`Bases`: many knowledge bases in one folder, each with a name and, where it differs, with settings of its own."""

from __future__ import annotations

import json
import re
import shutil
import threading
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from typing_extensions import Self

from easyrec.durable import write_text
from easyrec.errors import ConfigError, StoreError
from easyrec.llm.embedders import Embedder
from feature_generator.config import validate
from feature_generator.document import Document
from rag.config import KnowledgeConfig
from rag.knowledge import KnowledgeBase

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
ABOUT = "knowledge.json"
"""The file that says how a knowledge base differs from the others."""


class Bases:
    """Knowledge bases by name. Any number of threads may use them; each is open once, and its models are shared.

    Args:
        root: The folder; made where it is not there.
        config: What they are like unless their own settings say otherwise; its `path` is not used.

    Raises:
        StoreError: The folder cannot be made.
    """

    def __init__(self, root: Path, config: KnowledgeConfig) -> None:
        self.root, self.config = Path(root), config
        self._lock = threading.RLock()
        self._open: dict[str, KnowledgeBase] = {}
        self._embedders: dict[str, Embedder] = {}
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{self.root} cannot be made: {error.strerror or error}") from None
        for left in self.root.glob(".*.gone"):  # somebody was stopped while he dropped one
            shutil.rmtree(left, ignore_errors=True)

    def names(self) -> list[str]:
        """What they are called."""
        return sorted(
            path.name for path in self.root.iterdir() if NAME.fullmatch(path.name) and (path / ABOUT).is_file()
        )

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and NAME.fullmatch(name) is not None and (self.root / name / ABOUT).is_file()

    def create(self, name: str, overrides: Mapping[str, Any] | None = None) -> KnowledgeBase:
        """A new one.

        Args:
            name: Small letters, digits, `-` and `_`, at most 64.
            overrides: Keys of `knowledge` that are otherwise than usual, as in `{"chunker": {"type": "sentences"}}`.

        Raises:
            ConfigError: The name or the settings cannot be, or there is one of that name.
            EasyRecError: It cannot be opened.
        """
        folder = self._folder(name)
        told = dict(overrides or {})
        config = self._config(folder, told)
        with self._lock:
            if folder.exists():
                raise ConfigError(f"there is a knowledge base '{name}' already")
            try:
                folder.mkdir()
                write_text(folder / ABOUT, json.dumps(told, ensure_ascii=False, sort_keys=True))
            except FileExistsError:
                raise ConfigError(f"there is a knowledge base '{name}' already") from None
            except (OSError, TypeError, ValueError) as error:
                shutil.rmtree(folder, ignore_errors=True)
                raise StoreError(f"{folder} cannot be made: {error}") from None
            try:
                return self._opened(name, config)
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise

    def open(self, name: str) -> KnowledgeBase:
        """One that is there; whoever asks gets the same. It is closed with the others.

        Raises:
            ConfigError: There is none of that name, or its settings can no longer be.
            EasyRecError: It cannot be opened.
        """
        with self._lock:
            held = self._open.get(name)
            if held is not None and not held.closed:
                return held
            return self._opened(name, self.config_of(name))

    def config_of(self, name: str) -> KnowledgeConfig:
        """The settings of one.

        Raises:
            ConfigError: There is none of that name, or its settings can no longer be.
            StoreError: They cannot be read.
        """
        return self._config(self._folder(name), self.overrides(name))

    def overrides(self, name: str) -> dict[str, Any]:
        """What it has otherwise than usual.

        Raises:
            ConfigError: There is none of that name.
            StoreError: It cannot be read.
        """
        path = self._folder(name) / ABOUT
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ConfigError(f"there is no knowledge base '{name}'") from None
        except (OSError, ValueError) as error:
            raise StoreError(f"{path} cannot be read: {error}") from None
        if not isinstance(told, dict):
            raise StoreError(f"{path} holds something else than settings")
        return told

    def change(self, name: str, overrides: Mapping[str, Any]) -> None:
        """Let one have other settings, in the place of its own. It is opened anew when it is asked for.

        Documents are cut and read by them when they are added again.

        Raises:
            ConfigError: There is none of that name, or the settings cannot be.
            StoreError: They cannot be written.
        """
        folder = self._folder(name)
        with self._lock:
            self.overrides(name)
            told = dict(overrides)
            self._config(folder, told)
            self._close(name)
            write_text(folder / ABOUT, json.dumps(told, ensure_ascii=False, sort_keys=True))

    def drop(self, name: str) -> bool:
        """Take one away with all that it has, and say whether it was there.

        Raises:
            ConfigError: No knowledge base can be called so.
            EasyRecError: A store of vectors elsewhere cannot be reached; nothing is gone then.
        """
        folder = self._folder(name)
        with self._lock:
            if name not in self:
                return False
            with self.open(name) as base:
                base.clear_stores()
            self._close(name)
            gone = self.root / f".{name}.{uuid.uuid4().hex}.gone"
            try:
                folder.rename(gone)
            except OSError as error:
                raise StoreError(f"{folder} cannot be removed: {error.strerror or error}") from None
            shutil.rmtree(gone, ignore_errors=True)
            return True

    def close(self) -> None:
        """Close all of them, and let go of their models."""
        with self._lock:
            for name in list(self._open):
                self._close(name)
            for embedder in self._embedders.values():
                embedder.close()
            self._embedders.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _folder(self, name: str) -> Path:
        if not isinstance(name, str) or not NAME.fullmatch(name):
            shown = repr(name)[:80]
            raise ConfigError(f"{shown} is no name of a knowledge base: small letters, digits, '-' and '_', at most 64")
        return self.root / name

    def _config(self, folder: Path, overrides: Mapping[str, Any]) -> KnowledgeConfig:
        """What one is like."""
        if "path" in overrides:
            raise ConfigError("'path' is where knowledge bases lie: it is not a setting of one")
        usual = {key: getattr(self.config, key) for key in self.config.model_fields_set}
        told = {**usual, **overrides, "path": str(folder)}  # `${ENV}` in what somebody sends stays as it is
        return validate(KnowledgeConfig, Document(told, told, file=f"knowledge base '{folder.name}'"))

    def _opened(self, name: str, config: KnowledgeConfig) -> KnowledgeBase:
        embedder: Embedder | None = None
        if config.embedder is not None:
            key = config.embedder.model_dump_json()
            embedder = self._embedders.get(key)
            if embedder is None:
                embedder = self._embedders[key] = config.embedder.open()
        self._open[name] = base = KnowledgeBase(config, embedder=embedder)
        return base

    def _close(self, name: str) -> None:
        held = self._open.pop(name, None)
        if held is not None:
            held.close()
