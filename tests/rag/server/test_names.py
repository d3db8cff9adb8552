"""Names of files that came from elsewhere."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.server.names import LONGEST, file_name, folder_name
from rag.server.refused import Refused


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("refunds.md", "refunds.md"),
        ("../../etc/passwd", "passwd"),
        ("C:\\docs\\plan.docx", "plan.docx"),
        (".htaccess", "htaccess"),
        ("a\x00b\n.md", "ab.md"),
        ("evil\u202efdp.md", "evilfdp.md"),
        ("手册 2026.pdf", "手册 2026.pdf"),
        ('a<b>"c"?.md', "a_b__c__.md"),
        ("x" * 400 + ".md", "x" * (LONGEST - 3) + ".md"),
    ],
)
def test_a_name_is_what_may_lie_here(given, name):
    assert file_name(given) == name


@pytest.mark.parametrize("given", ["", "..", "/", "\x00", "a/.. "])
def test_names_of_which_nothing_is_left_are_refused(given):
    with pytest.raises(Refused):
        file_name(given)


@settings(max_examples=100)
@given(st.text(max_size=300))
def test_no_name_leads_elsewhere(given):
    for cleaned in (file_name, folder_name):
        try:
            name = cleaned(given)
        except Refused:
            continue
        assert not name.startswith("/")
        assert ".." not in name.split("/")
        assert "\x00" not in name
        assert all(len(part.encode()) <= LONGEST for part in name.split("/"))
