"""A catalogue in a knowledge base: each row of a table a document, with what is known of it to filter by."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from easyrec.errors import DataError
from easyrec.llm.items import rows_of
from easyrec.llm.templates import columns_of, filled
from easyrec.retrieval.filters import Fact
from rag.config import ItemsConfig
from rag.knowledge import KnowledgeBase, Report


def add_items(
    base: KnowledgeBase, config: ItemsConfig, *, progress: Callable[[str], object] | None = None
) -> tuple[Report, int]:
    """Make a knowledge base hold the items of a table.

    New items are added, changed ones written anew, and those that are no longer in the table taken away.

    Returns:
        What came of it, and how many were taken away.

    Raises:
        ConfigError: The table lacks a column.
        DataError: It cannot be read, or an id is missing or there twice; nothing is taken away then.
        EasyRecError: Items cannot be embedded or written.
    """
    seen: set[str] = set()
    wanted = list(dict.fromkeys([config.id, *columns_of(config.text), *config.facts]))

    def told() -> Iterator[tuple[str, str, Mapping[str, Any]]]:
        for row, item in enumerate(rows_of(Path(config.path), wanted, "items"), 1):
            number = item[config.id]
            if number is None:
                raise DataError(f"{config.path}, row {row}: column '{config.id}' is empty")
            source = f"{config.prefix}{number}"
            if source in seen:
                raise DataError(f"{config.path}, row {row}: column '{config.id}': {number!r} is there twice")
            seen.add(source)
            facts = {name: values for name in config.facts if (values := _facts(item[name]))}
            yield (
                source,
                filled(config.text, item),
                {
                    **facts,
                    "item": [number if isinstance(number, int | str) else str(number)],
                },
            )

    report = base.add_texts(told(), progress=progress)
    gone = [source for source in base.records.sources(config.prefix) if source not in seen]
    return report, base.remove_all(gone)


def _facts(value: Any) -> list[Fact]:
    """A cell as facts."""
    values = value if isinstance(value, list) else [value]
    return [each if isinstance(each, bool | int | float | str) else str(each) for each in values if each is not None]
