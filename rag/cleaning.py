"""`Cleaner`: a model's words without what they must not hold: places that do not exist, pictures, foreign links.

A page that shows an answer as Markdown fetches the pictures in it, and its links lead away. A text that talked the model into
either could send off what other texts say. So pictures never stay, and a link stays only where a place that the same line
names says the same address.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from easyrec.llm.telling import UNSEEN
from easyrec.retrieval.keyword.words import DENSE

CITED = re.compile(r"\[(\d{1,4})\]")
SEVERAL = re.compile(r"[\[\u3010](\d{1,4}(?:\s*[,;\u3001\uff0c]\s*\d{1,4})*)[\]\u3011]")
"""How models name places, as `[1, 2]` and `\u30101\u3011`."""
PLACES = (
    "(?!(?:js|ts|py|md|rs|sh|cc|hs|so|pl|cs)\\b)(?:[a-z]{2}|com|net|org|edu|gov|info|biz|pro|web|shop|name|app|dev|xyz|top|"
    "site|online|cloud|link|click|live|club|zip|mov|asia|store|page|tech)"
)
"""How names of servers end, as far as they are not rather those of files."""
ADDRESS = re.compile(
    rf"(?:[a-z][a-z0-9+.-]{{1,31}}:/{{2}}|www\.|(?:javascript|vbscript|mailto):(?=\S)|data:(?=\w+/)|"
    rf"(?<![a-z0-9_@/.-])(?:[a-z0-9-]{{1,63}}\.){{1,8}}{PLACES}(?::\d{{1,5}})?(?:/|[?#](?=\w))|"
    rf"(?<![:/a-z0-9_])//(?=[\w-]+\.))[^\s<>\[\]\"`{DENSE}]*",
    re.IGNORECASE,
)
"""What a page would make a link of, with or without its scheme."""
PICTURE = re.compile(
    r"!\[([^\[\]]{0,500})\](?:\([^()\n]{0,2000}(?:\([^()\n]{0,500}\)[^()\n]{0,500})?\)|\[[^\]\n]{0,200}\])?"
)
LINK = re.compile(
    r"(?<!!)\[([^\[\]]{1,500})\]\(\s*<?([^\s()<>]{1,2000}(?:\([^\s()]{0,500}\))?)>?(?:\s+[\"'(][^\n]{0,300}?[\"')])?\s*\)"
)
AUTO = re.compile(r"<([a-z][a-z0-9+.-]{1,31}:[^\s<>]{1,2000}|[^\s<>@]{1,200}@[^\s<>@]{1,200})>", re.IGNORECASE)
ENDING = ".,;:!?'\")]}>*_~\u3002\uff0c\uff1b\uff1a\uff01\uff1f\uff09\u300d\u3011"
"""What stands behind an address and is no part of it."""
KEPT = re.compile("\x00(\\d+)\x00")
"""Stands for an address that stays."""
REMOVED = "(link removed)"
LONGEST = 4000
"""Letters of a line that are looked at together; a longer one is cut in two."""
DECIDED = 8
"""Letters behind which a bracket is no longer the beginning of a place."""
SUSPECT = re.compile(rf"[<&\u3010]|!\[|\[(?!\d{{1,4}}\])|\]\(|\]\[(?!\d{{1,4}}\])|\]:|{ADDRESS.pattern}", re.IGNORECASE)
"""Where a line may hold more than words and places."""
CUT = re.compile(
    rf"\s|(?<=[{DENSE}\u3000-\u3002\uff01-\uff0f\uff1a-\uff1f])(?=[{DENSE}\u3000-\u3002\uff01-\uff0f\uff1a-\uff1f])"
)


def addresses(text: str) -> set[str]:
    """The addresses that a text names."""
    return {found.group().rstrip(ENDING) for found in ADDRESS.finditer(text)}


class Cleaner:
    """Cleans words as they come. Whatever the pieces they come in, what it gives joined is the same.

    Args:
        places: What each place says that may be named; the first has the number 1.
        links: Whether links stay that a named place says too.

    Attributes:
        cited: The numbers of places that were named, in their order.
        removed: How much was taken out: places that do not exist, pictures and links.
    """

    def __init__(self, places: Sequence[str], *, links: bool = True) -> None:
        self._places, self._links = places, links
        self._known: dict[int, set[str]] = {}
        self._rest = ""
        self._line: list[str] = []
        self._blank = ""
        self._begun = self._held = False
        self.cited: list[int] = []
        self.removed = 0

    def feed(self, words: str) -> str:
        """What may be said now."""
        self._rest = self._known_places(self._rest + UNSEEN.sub("", words.replace("\r", "")))
        said = ""
        while (end := self._rest.find("\n") + 1) or self._length + len(self._rest) > LONGEST:
            if 0 < end <= LONGEST - self._length:
                said += self._clean(self._rest[:end], True)
                self._rest = self._rest[end:]
                continue
            said += self._part()
        cut = self._plain()
        said += self._clean(self._rest[:cut], False)
        self._rest = self._rest[cut:]
        return self._out(said)

    @property
    def _length(self) -> int:
        """Letters of the line that were looked at."""
        return sum(map(len, self._line))

    def _part(self) -> str:
        """The first part of a line that is too long; where it has no place to cut, a blank is put there."""
        room = LONGEST - self._length
        cut = max((found.end() for found in CUT.finditer(self._rest[:room])), default=0)
        if not cut and self._line:
            self._line, self._held = [], False  # what was said already ends there
            return ""
        said = self._clean(self._rest[: cut or room], True) + ("" if cut else " ")
        self._rest = self._rest[cut or room :]
        return said

    def end(self) -> str:
        """What is left to be said."""
        said = self._out(self._clean(self._rest, True))
        self._rest = ""
        return said

    def _plain(self) -> int:
        """How much of the line that is still being said is nothing but words and places."""
        cuts = [found.end() for found in CUT.finditer(self._rest)]
        if self._held or not cuts:
            return 0
        suspect = SUSPECT.search(self._rest)
        most = suspect.start() if suspect else len(self._rest)
        # Nothing behind it is said before the line's end, so until then it need not be looked at.
        self._held = most + DECIDED < len(self._rest)
        return max((cut for cut in cuts if cut <= most), default=0)

    def _out(self, said: str) -> str:
        """Blanks at both ends of an answer are not said."""
        if not self._begun:
            said = said.lstrip()
        if not said:
            return ""
        self._begun = True
        kept = said.rstrip()
        out = self._blank + kept if kept else ""
        self._blank = said[len(kept) :] if kept else self._blank + said
        return out

    # ------------------------------------------------------------------------------------------------ one line

    def _clean(self, text: str, ends: bool) -> str:
        """A line, or a part of one that is nothing but words and places."""
        if not text:
            return ""
        self._line.append(text)
        if SUSPECT.search(text):
            text = self._defused(text, "".join(self._line))
        for number in map(int, CITED.findall(text)):
            if number not in self.cited:
                self.cited.append(number)
        if ends:
            self._line, self._held = [], False
        return text

    def _known_places(self, text: str) -> str:
        """A text without numbers of places that do not exist: before anything is looked for, since it joins what is around."""
        while (less := CITED.sub(self._place, text)) != text:
            text = less
        return text

    def _place(self, found: re.Match[str]) -> str:
        """A number of a place, if there is such a place."""
        if 1 <= int(found.group(1)) <= len(self._places):
            return found.group()
        self.removed += 1
        return ""

    def _defused(self, text: str, whole: str) -> str:
        """A line in which nothing is left that a page would fetch or lead to, but what the places in it say."""
        before = whole[: len(whole) - len(text)]
        while (apart := self._known_places(SEVERAL.sub(_apart, text))) != text:
            text = apart
        allowed = self._allowed(before + text)
        kept: list[str] = []

        def keep(address: str) -> str:
            kept.append(address)
            return f"\x00{len(kept) - 1}\x00"

        def gone(text: str) -> str:
            self.removed += 1
            return text

        text = PICTURE.sub(lambda found: gone(found.group(1)), text)
        text = LINK.sub(lambda found: self._link(found, allowed, keep, gone), text)
        text = AUTO.sub(
            lambda f: (
                f"{_apart_before(f)}{keep(f.group(1))}{_apart_from(f)}" if f.group(1) in allowed else gone(REMOVED)
            ),
            text,
        )
        text = ADDRESS.sub(lambda f: self._address(f, allowed, keep, gone), text)
        text = re.sub(r"&(?=#?\w{1,40};)", "& ", text)
        text = re.sub(r"<(?=[A-Za-z/!?])", "< ", text)
        text = re.sub(r"!\[", "! [", text)
        text = re.sub(r"\](?=\()", "] ", text)
        text = re.sub(r"\](?=:)", lambda f: self._before_colon(f, before + text), text)
        allowed = self._allowed(before + text)  # a place may have gone with a picture
        text = KEPT.sub(lambda f: kept[int(f.group(1))], text)
        return ADDRESS.sub(lambda f: self._address(f, allowed, str, gone), text)

    def _allowed(self, text: str) -> set[str]:
        """The addresses that the places say which a line names."""
        named = {int(number) for number in CITED.findall(text)} if self._links else set()
        return set().union(*(self._addresses(n) for n in named if 1 <= n <= len(self._places)))

    @staticmethod
    def _before_colon(found: re.Match[str], before: str) -> str:
        """`]:` would define what brackets elsewhere lead to; behind words and a place it is but a colon."""
        until = before[: len(before) - len(found.string) + found.start() + 1].rpartition("\n")[2]
        return "]" if re.search(r"[^\W\d_].*\[\d{1,4}\]\Z", until) else "] "

    @staticmethod
    def _link(found: re.Match[str], allowed: set[str], keep: Callable[[str], str], gone: Callable[[str], str]) -> str:
        """A link, or code that looks like one: what leads nowhere stays, and is set apart later."""
        label, address = found.group(1), found.group(2)
        label = f"[{label}]" if re.fullmatch(r"\d{1,4}", label) else label  # it is called like a place
        if address in allowed:
            return f"{label} ({keep(address)}){_apart_from(found)}"
        return gone(label) if ADDRESS.search(address) or address[0] in "/#" else found.group()

    def _address(
        self, found: re.Match[str], allowed: set[str], keep: Callable[[str], str], gone: Callable[[str], str]
    ) -> str:
        """An address that stands as it is."""
        address = found.group().rstrip(ENDING)
        tail = found.group()[len(address) :]
        return (keep(address) if address in allowed else gone(REMOVED)) + tail

    def _addresses(self, number: int) -> set[str]:
        """What a place names."""
        if number not in self._known:
            self._known[number] = addresses(self._places[number - 1])
        return self._known[number]


def _apart_from(found: re.Match[str]) -> str:
    """A blank, where an address would else go on with the word behind it."""
    behind = found.string[found.end() : found.end() + 1]
    return "" if not behind or behind.isspace() or behind in ".,;:!?)" else " "


def _apart_before(found: re.Match[str]) -> str:
    """Likewise before it."""
    return " " if found.string[: found.start()][-1:].isalnum() else ""


def _apart(found: re.Match[str]) -> str:
    """Several places one by one."""
    return "".join(f"[{number}]" for number in re.findall(r"\d+", found.group(1)))


def cleaned(text: str, places: Sequence[str], *, links: bool = True) -> tuple[str, list[int], int]:
    """A whole answer, cleaned.

    Returns:
        Its words, the numbers that it names, and how much was taken out.
    """
    cleaner = Cleaner(places, links=links)
    said = cleaner.feed(text)
    said += cleaner.end()
    return said, cleaner.cited, cleaner.removed
