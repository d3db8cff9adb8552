"""Regular expressions by RE2, which pyarrow brings: linear time whatever the pattern."""

from __future__ import annotations

import re

import pyarrow as pa
import pyarrow.compute as pc

_PROBE = pa.array([""])


def check(pattern: str, replacement: str) -> tuple[str, str] | None:
    """What is wrong with a pattern or its replacement: `pattern` or `replacement`, and RE2's words; None if nothing."""
    error = _refusal(pattern)
    if error is not None:
        return "pattern", _place(pattern, error)
    if _refusal(pattern, "") is not None:  # pyarrow puts the pattern into parentheses
        return "pattern", rf"must close what it opens, also \Q by \E, in '{pattern}'"
    error = _refusal(pattern, replacement)
    return None if error is None else ("replacement", _rewrite(error))


def replace(texts: pa.LargeStringArray, pattern: str, replacement: str, every: bool = True) -> pa.LargeStringArray:
    r"""Every match replaced, left to right; an empty match right behind another match is none.

    Args:
        texts: Nulls stay null.
        pattern: RE2's syntax; case counts unless it says `(?i)`.
        replacement: `\1` .. `\9` stand for the groups, `\0` for the whole match, `\\` for a backslash.
        every: False: only the first match of each text.
    """
    most = None if every else 1
    return pc.replace_substring_regex(texts, pattern=pattern, replacement=replacement, max_replacements=most)


def _refusal(pattern: str, replacement: str | None = None) -> str | None:
    try:
        if replacement is None:
            pc.match_substring_regex(_PROBE, pattern=pattern)
        else:
            pc.replace_substring_regex(_PROBE, pattern=pattern, replacement=replacement)
    except pa.ArrowInvalid as error:
        return str(error).partition(": ")[2]
    return None


def _place(pattern: str, error: str) -> str:
    """RE2's error with the place: it quotes what it stumbled over, and reads from the left."""
    fragment = error.partition(": ")[2]
    for match in re.finditer(re.escape(fragment), pattern) if fragment and fragment != pattern else ():
        # The same text may stand earlier where it is fine, such as `[(?=]`: there the pattern up to it says otherwise.
        again = _refusal(pattern[: match.end()])
        if again is not None and again.partition(": ")[2] == fragment:
            return f"{error}, at character {match.start() + 1} of '{pattern}'"
    return f"{error}, in '{pattern}'"


def _rewrite(error: str) -> str:
    asked = re.search(r"requests (\d+) matches, but the regexp only has (\d+)", error)
    if asked:
        return f"names the group \\{asked[1]}, but the pattern has {asked[2]} groups"
    return f"{error.removeprefix('Rewrite schema error: ')} (\\0 is the whole match, \\1 a group, \\\\ a backslash)"
