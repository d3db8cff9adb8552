import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feature_generator.text import plain, regex

ATOMS = ["a", "b", "ab", "[ab]", "[^a]", ".", r"\d", r"\w", "é", "中", "[中é]", "(a)", "(b|中)", "(?:ab|a)"]
REPEATS = st.sampled_from(["", "", "*", "+", "?", "*?", "{2}", "{1,2}"])
PIECES = st.tuples(st.sampled_from(ATOMS), REPEATS).map("".join) | st.sampled_from([r"\b", "^", "$"])
PATTERNS = st.lists(PIECES, min_size=1, max_size=4).map("".join)
TEXTS = st.lists(st.none() | st.text(alphabet="ab中é1 \n\U0001f600", max_size=8), max_size=6)


def run(texts, pattern, replacement):
    return regex.replace(pa.array(texts, pa.large_string()), pattern, replacement).to_pylist()


@given(TEXTS, PATTERNS, st.sampled_from(["", "-", r"<\0>", r"\\\0"]))
def test_an_array_becomes_what_each_text_becomes(texts, pattern, replacement):
    wanted = [None if t is None else plain.replace(t, pattern.replace("$", r"\Z"), replacement) for t in texts]
    assert run(texts, pattern, replacement) == wanted


@pytest.mark.parametrize(
    ("text", "pattern", "replacement", "made"),
    [
        ("a12b", "[0-9]+", "#", "a#b"),
        ("red-shoe", r"(\w+)-(\w+)", r"\2 \1", "shoe red"),
        ("red", r"(e)|(x)", r"[\1\2]", "r[e]d"),
        ("red", "e", r"\\0", r"r\0d"),
        ("Red", "(?i)r", "b", "bed"),
        ("中文", r"\p{Han}", r"\0 ", "中 文 "),
        ("baac", "a*", "-", "-b-c-"),
        ("", "^$", "empty", "empty"),
        ("a.b", ".", "", ""),
    ],
    ids=["digits", "groups", "unmatched-group", "backslash", "flag", "unicode-class", "empty-matches", "empty", "dot"],
)
def test_replacement_by_hand(text, pattern, replacement, made):
    assert run([text, None], pattern, replacement) == [made, None]


@pytest.mark.parametrize(
    ("pattern", "replacement", "key", "words"),
    [
        ("(ab", "", "pattern", "missing ): (ab, in '(ab'"),
        ("a(?=b)", "", "pattern", r"invalid perl operator: (?=, at character 2 of 'a(?=b)'"),
        ("[(?=](?=b)", "", "pattern", "invalid perl operator: (?=, at character 6 of '[(?=](?=b)'"),
        (r"(\w)x\1", "", "pattern", r"invalid escape sequence: \1, at character 6 of"),
        ("x[z-a]", "", "pattern", "invalid character class range: z-a, at character 3 of 'x[z-a]'"),
        ("a{2000}", "", "pattern", "invalid repetition size: {2000}, at character 2"),
        (r"(\pL{900}){1}(\pL{900})(\pL{900})(\pL{900})", "", "pattern", "pattern too large - compile failed, in"),
        (r"a\Q(", "", "pattern", r"must close what it opens, also \Q by \E, in 'a\Q('"),
        ("\\", "", "pattern", "trailing \\"),
        ("(a)", r"\1\3", "replacement", r"names the group \3, but the pattern has 1 groups"),
        ("a", r"\q", "replacement", r"'\' must be followed by a digit or '\'. (\0 is the whole match"),
        ("a", "x\\", "replacement", r"'\' not allowed at end"),
    ],
)
def test_a_wrong_pattern_or_replacement_is_told_in_the_words_of_re2(pattern, replacement, key, words):
    wrong = regex.check(pattern, replacement)
    assert wrong is not None
    assert wrong[0] == key
    assert words in wrong[1]


def test_a_right_pattern_has_nothing_wrong():
    assert regex.check(r"(\p{L}+)[-_](?P<rest>.*)", r"\2\1\0\\") is None


def test_no_pattern_takes_more_than_linear_time():
    text = "a" * 50_000
    assert run([text + "b"], "(a|a)*(a|aa)+$", "")[0] == text + "b"
