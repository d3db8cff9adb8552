"""What a question asks of facts: `a blouse under 50 euros` asks for a price and a category.

By rules, in English and Chinese: numbers with what stands before and behind them, and the values of facts that a question
names. No model is needed, and what is found can always be said in words again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from easyrec.retrieval.filters import Fact
from easyrec.retrieval.keyword.words import IS_DENSE, Words

SIGNS = "€$£¥￥"
NUMBER = rf"(?P<sign>[{SIGNS}])?\s*(?P<number>\d{{1,12}}(?:[.,]\d{{3}})*(?:[.,]\d{{1,2}})?)\s*(?P<many>k\b|千|万)?"
MANY = {"k": 1e3, "千": 1e3, "万": 1e4}
BELOW = r"under|below|less than|lower than|cheaper than|fewer than|低于|小于|少于"
AT_MOST = r"at most|up to|no more than|not more than|max(?:imum)?(?: of)?|within|不超过|不高于|最多|最高|至多"
ABOVE = r"over|above|more than|higher than|greater than|高于|大于|多于|超过"
AT_LEAST = r"at least|from|no less than|not less than|min(?:imum)?(?: of)?|starting at|不低于|不少于|至少|最低"
ABOUT = r"about|around|roughly|approximately|大约|大概|约"
BEFORE = re.compile(
    rf"(?:(?P<below>{BELOW})|(?P<at_most>{AT_MOST})|(?P<above>{ABOVE})|(?P<at_least>{AT_LEAST})|(?P<about>{ABOUT}))\s*$",
    re.IGNORECASE,
)
BEHIND = re.compile(
    r"^\s*(?:(?P<at_most>以下|以内|之内|封顶|or less|or below|or under|max(?:imum)?|at most)"
    r"|(?P<at_least>以上|起|or more|or above|and up|and more|at least)|(?P<about>左右|上下|or so))",
    re.IGNORECASE,
)
BETWEEN = re.compile(r"^\s*(?:-|–|—|~|to|and|到|至)\s*", re.IGNORECASE)
OPENS = re.compile(r"(?:between|介于|在)\s*$", re.IGNORECASE)
LOOSE = re.compile(
    r"^\s*(?:$|[,.;:!?，。；：！？、)]|(?:for|with|in|and|or|but|please|each|per|的|吗|呢|左右|上下|以)\b|[的吗呢以左上])"
)
"""What may stand behind a number that has no unit."""
ABOUT_SHARE = 0.2
"""How far `about` reaches to either side."""


def numbers_wished(question: str, units: Mapping[str, Sequence[str]]) -> dict[str, dict[str, float]]:
    """The bounds that a question names, as filters.

    Args:
        question: It.
        units: By the names of facts the words that may stand behind their numbers, as `euros`, and signs before them, as `€`.
            Of a single fact a number also counts without a unit where a word such as `under` stands before it.

    Returns:
        `{fact: {gte: low, lt: high}}`, without those that nothing was said of.
    """
    found: dict[str, dict[str, float]] = {}
    for fact, words in units.items():
        named = "|".join(sorted(map(re.escape, words), key=len, reverse=True))
        unit = rf"(?P<unit>{named})?" if words else "(?P<unit>(?!))?"
        amounts = [
            match
            for match in re.finditer(rf"(?<![A-Za-z0-9_.,]){NUMBER}\s*{unit}(?![A-Za-z]*\d)", question, re.IGNORECASE)
            if not _is_word_going_on(match, question)
        ]
        alone = len(units) == 1
        for place in range(len(amounts)):
            bounds = _bounds(question, amounts, place, words, alone)
            if bounds:
                found.setdefault(fact, {}).update(bounds)
    return {fact: bounds for fact, bounds in found.items() if _possible(bounds)}


def _is_word_going_on(match: re.Match[str], question: str) -> bool:
    """Whether letters stand right behind what looks like a unit, as in `5 europeans`."""
    end = match.end()
    unit = match.group("unit")
    return bool(unit and unit[-1:].isascii() and unit[-1:].isalpha() and question[end : end + 1].isalpha())


def _bounds(
    question: str, amounts: list[re.Match[str]], place: int, words: Sequence[str], alone: bool
) -> dict[str, float]:
    """What one number says."""
    match = amounts[place]
    value, behind = _value(match), question[match.end() :]
    own = bool(match.group("unit")) or (match.group("sign") or "") in words
    before = BEFORE.search(question[: match.start()])
    if place + 1 < len(amounts):  # a range: the unit may stand at its end alone
        after = amounts[place + 1]
        between = BETWEEN.match(question[match.end() : after.start()])
        ends = between is not None and between.end() == after.start() - match.end()
        theirs = bool(after.group("unit")) or (after.group("sign") or "") in words
        dash = ends and not (between is not None and between.group().strip().lower() == "and")
        said = OPENS.search(question[: match.start()]) is not None
        if ends and (dash or said):
            counts = own or theirs or (alone and said and LOOSE.match(question[after.end() :]))
            return {"gte": value, "lte": _value(after)} if counts else {}
    if place and BETWEEN.fullmatch(question[amounts[place - 1].end() : match.start()]) and before is None:
        return {}  # the end of a range
    if not own and not (alone and before is not None and LOOSE.match(behind)):
        return {}
    if before is not None:
        kind = before.lastgroup
    else:
        trail = BEHIND.match(behind)
        kind = trail.lastgroup if trail is not None else None
    return {
        "below": {"lt": value},
        "at_most": {"lte": value},
        "above": {"gt": value},
        "at_least": {"gte": value},
        "about": {"gte": value * (1.0 - ABOUT_SHARE), "lte": value * (1.0 + ABOUT_SHARE)},
    }.get(kind or "", {})


def _value(match: re.Match[str]) -> float:
    text = match.group("number")
    whole, mark, rest = text, "", ""
    last = max(text.rfind("."), text.rfind(","))
    if last >= 0 and len(text) - last <= 3:  # two digits or one behind it: a fraction
        whole, mark, rest = text[:last], ".", text[last + 1 :]
    number = float(whole.replace(",", "").replace(".", "") + mark + rest)
    return number * MANY.get((match.group("many") or "").lower(), 1.0)


def _possible(bounds: Mapping[str, float]) -> bool:
    low = max((bounds[key] for key in ("gte", "gt") if key in bounds), default=float("-inf"))
    high = min((bounds[key] for key in ("lte", "lt") if key in bounds), default=float("inf"))
    return low <= high


class Names:
    """Finds the values of facts that a question names.

    Args:
        values: By the names of facts the values that there are.
        language: Whose endings are cut off: `dresses` is named by `a dress`.
    """

    def __init__(self, values: Mapping[str, Iterable[Fact]], language: str | None = "english") -> None:
        self._words = Words(language)
        self._dense: dict[str, list[tuple[str, str]]] = {}
        self._spaced: dict[tuple[str, ...], list[tuple[str, str]]] = {}
        self._longest = 0
        for fact, each in values.items():
            for value in each:
                if not isinstance(value, str) or not value.strip():
                    continue
                if IS_DENSE.search(value):
                    self._dense.setdefault(value.strip(), []).append((fact, value))
                    continue
                words = tuple(self._words(value))
                if words:
                    self._spaced.setdefault(words, []).append((fact, value))
                    self._longest = max(self._longest, len(words))

    def __call__(
        self, question: str, known: Callable[[str, str], bool] = lambda fact, value: True
    ) -> dict[str, list[str]]:
        """Values by facts, the longest names first taken; a word belongs to one name.

        Args:
            question: It.
            known: Tells of a fact and its value whether who asks may know of it. What is unknown takes no word away.
        """
        found: dict[str, list[str]] = {}
        rest = question
        for value in sorted(self._dense, key=lambda name: (-len(name), name)):
            if value in rest and (entries := [entry for entry in self._dense[value] if known(*entry)]):
                rest = rest.replace(value, " ")
                _add(found, entries)
        words, free = self._words(rest), [True] * len(self._words(rest))
        for length in range(min(self._longest, len(words)), 0, -1):
            for start in range(len(words) - length + 1):
                named = self._spaced.get(tuple(words[start : start + length]))
                if named is None or not all(free[start : start + length]):
                    continue
                if entries := [entry for entry in named if known(*entry)]:
                    free[start : start + length] = [False] * length
                    _add(found, entries)
        return found


def _add(found: dict[str, list[str]], entries: Iterable[tuple[str, str]]) -> None:
    for fact, value in entries:
        if value not in found.setdefault(fact, []):
            found[fact].append(value)


def told(filter: Mapping[str, Any]) -> str:
    """A filter in words, as people are told it."""
    signs = {"gte": "≥", "gt": ">", "lte": "≤", "lt": "<"}
    parts: list[str] = []
    for name, value in filter.items():
        if isinstance(value, Mapping):
            parts += [
                f"{name} {signs.get(key, key)} {each:g}" for key, each in value.items() if isinstance(each, int | float)
            ]
        else:
            parts.append(f"{name}: {', '.join(map(str, value if isinstance(value, list) else [value]))}")
    return "; ".join(parts)
