"""What of a knowledge base's config may be told over HTTP: nothing that names files, addresses or variables."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from easyrec.durable import write_text
from easyrec.errors import ConfigError, DataError, nearest
from feature_generator.config import Document, validate
from rag.config import AnswerConfig, RagConfig, SearchConfig

KNOWLEDGE = ("language", "chunker")
"""Of `knowledge`."""
WITHHELD = ("reranker", "embedder", "llm", "store", "readers", "path")
"""Whoever runs the server decides on these: they reach files, other machines, and money."""
BYTES = 32_768


class Settings:
    """The settings of knowledge bases, a file each.

    Args:
        folder: Where they lie.
        config: What they are added to.
    """

    def __init__(self, folder: Path, config: RagConfig) -> None:
        self._folder, self._config = folder, config
        folder.mkdir(parents=True, exist_ok=True)

    def read(self, name: str) -> dict[str, Any]:
        """Those of a knowledge base.

        Raises:
            DataError: Its file is damaged.
        """
        path = self._folder / f"{name}.json"
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: cannot be read: {error}") from None
        return found if isinstance(found, dict) else {}

    def write(self, name: str, settings: Mapping[str, Any]) -> None:
        """Keep those of a knowledge base."""
        write_text(self._folder / f"{name}.json", json.dumps(settings, ensure_ascii=False))

    def drop(self, name: str) -> None:
        """Forget those of a knowledge base."""
        (self._folder / f"{name}.json").unlink(missing_ok=True)

    def config(self, settings: Mapping[str, Any]) -> RagConfig:
        """The whole config of a knowledge base with some settings.

        Raises:
            ConfigError: Everything wrong with them.
        """
        if len(json.dumps(settings)) > BYTES:
            raise ConfigError(f"settings have more than {BYTES:,} bytes")
        known = (*KNOWLEDGE, "search", "answer")
        for key in settings:
            if key not in known:
                raise ConfigError(f"settings: unknown key '{key}'{nearest(key, known)}; known: {', '.join(known)}")
        search = settings.get("search", {})
        if isinstance(search, Mapping):
            withheld = [key for key in search if key in WITHHELD]
            if withheld:
                raise ConfigError(f"settings . search . {withheld[0]}: is said by the server's own config alone")
        # No `Document.of`: `${NAME}` of a client must not become the content of a variable here.
        data = {
            "name": self._config.name,
            "knowledge": {
                **{name: getattr(self._config.knowledge, name) for name in self._config.knowledge.model_fields_set},
                **{key: settings[key] for key in KNOWLEDGE if key in settings},
            },
            "search": _over(self._config.search, search),
            "answer": _over(self._config.answer, settings.get("answer", {})),
        }
        made = validate(RagConfig, Document(data, data))
        return self._config.model_copy(
            update={"knowledge": made.knowledge, "search": made.search, "answer": made.answer}
        )

    def over(self, config: RagConfig, settings: Mapping[str, Any]) -> RagConfig:
        """A config with other sections `search` and `answer`.

        Raises:
            ConfigError: Everything wrong with them.
        """
        known = ("search", "answer")
        for key in settings:
            if key not in known:
                raise ConfigError(f"settings: unknown key '{key}'{nearest(key, known)}; known: {', '.join(known)}")
        given = settings.get("answer", {})
        data = _over(config.answer, given)
        answer = validate(AnswerConfig, Document(data, data))
        return config.model_copy(update={"search": search_with(config, settings.get("search", {})), "answer": answer})

    def shown(self, config: RagConfig) -> dict[str, Any]:
        """What a config says, without what is withheld."""
        search = config.search.model_dump(mode="json", exclude={"reranker"})
        return {
            "language": config.knowledge.language,
            "chunker": _plain(config.knowledge.chunker),
            "search": {**search, "reranks": config.search.reranker is not None},
            "answer": config.answer.model_dump(mode="json"),
            "vectors": config.knowledge.embedder is not None,
            "answers": config.llm is not None,
        }


def search_with(config: RagConfig, given: Mapping[str, Any]) -> SearchConfig:
    """How chunks are found where a request says some of it.

    Raises:
        ConfigError: Everything wrong with what it says.
    """
    withheld = [key for key in given if key in WITHHELD]
    if withheld:
        raise ConfigError(f"search . {withheld[0]}: is said by the server's own config alone")
    data = _over(config.search, given)
    return validate(SearchConfig, Document(data, data))


def _over(config: SearchConfig | AnswerConfig, given: Any) -> Any:
    """A section with what is given in the place of what it said."""
    if not isinstance(given, Mapping):
        return given  # the validation says what it must be
    said = {name: getattr(config, name) for name in config.model_fields_set}
    return {**said, **given}


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json") if hasattr(value, "model_dump") else value
