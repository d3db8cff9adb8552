"""Whether the text of a page is one, or a picture of it must be read."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

from rag.pages.page import Page

FEW = 24
"""Characters: a page with fewer may be a picture of text."""
STAMP = 400
"""Characters that may stand beside a picture of text, such as a stamp of whoever scanned it."""
COVERS = 0.5
"""Share of a page that such a picture covers."""
STRANGE = 0.15
"""Share of characters that no text has."""
LETTERS = 150
"""Latin letters from which on it is looked whether they are words."""
VOWELS = (0.24, 0.62)
"""Share of vowels among the letters of a language; where codes of letters are lost, it is another one."""
WORD = re.compile(r"[^\W\d_]{3,}")


def is_scan(page: Page) -> bool:
    """Whether there may be text on a page that only its picture has."""
    count = sum(len(span.text) for span in page.spans)
    area = page.width * page.height
    covered = max((box.width * box.height for box in page.pictures), default=0.0) / area
    if count < FEW:
        return True
    return (count < STAMP and covered >= COVERS) or is_garbage(" ".join(span.text for span in page.spans))


def is_garbage(text: str) -> bool:
    """Whether characters are not those that are seen, as where a file has fonts without the codes of their letters."""
    shown = [character for character in text if not character.isspace()]
    if len(shown) < FEW:
        return False
    kinds = Counter(map(unicodedata.category, shown))
    strange = sum(kinds[kind] for kind in ("Cc", "Cn", "Co", "Cs")) + shown.count("\ufffd")
    if strange > STRANGE * len(shown):
        return True
    words = [word for word in WORD.findall(text) if not word.isupper()]
    plain = unicodedata.normalize("NFD", "".join(words)).lower()
    latin = [character for character in plain if "a" <= character <= "z"]
    if len(latin) < LETTERS or len(latin) < 0.5 * len(shown):
        return False
    vowels = sum(character in "aeiouy" for character in latin) / len(latin)
    return not VOWELS[0] <= vowels <= VOWELS[1]
