"""Readers of plain formats: blocks in reading order, headings, lists and tables as the file has them."""

import json

import pytest

from easyrec.errors import DataError
from rag.document import Bullets, Code, Figure, Heading, Paragraph, Place, Table, tree, with_headings
from rag.readers import reader_of
from rag.readers.csv import Config as Csv
from rag.readers.jsonl import Config as Jsonl


def blocks(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(reader_of(path).read(path))


def plain(found):
    """Blocks without their places."""
    return [
        type(block)(**{**{k: getattr(block, k) for k in block.__dataclass_fields__}, "place": Place()})
        for block in found
    ]


def test_text(tmp_path):
    found = blocks(tmp_path, "a.TXT", "one\ntwo\n\n\n  three\r\nfour\r\n")
    assert found == [Paragraph("one two", Place(line=1)), Paragraph("three four", Place(line=5))]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "gb18030", "utf-16"])
def test_texts_in_other_encodings(tmp_path, encoding):
    assert plain(blocks(tmp_path, "a.txt", "退款需要五天".encode(encoding))) == [Paragraph("退款需要五天")]


MARKDOWN = """---
title: x
---
# Top *title*

First `code` line
second line.

## Lists

1. one
   - inner
   - deep **bold**
2. two

   more of two

| a | b |
|---|---|
| 1 | x \\| y |

```python
print(1)

print(2)
```

![A picture](x.png)

### Deep
<table><tr><th>h</th></tr><tr><td>v</td></tr></table>

Last [link](http://x).
"""


def test_markdown(tmp_path):
    pytest.importorskip("markdown_it")
    found = blocks(tmp_path, "a.md", MARKDOWN)
    assert plain(found) == [
        Heading("Top title", 1),
        Paragraph("First code line second line."),
        Heading("Lists", 2),
        Bullets(((0, "one"), (1, "inner"), (1, "deep bold"), (0, "two more of two")), True),
        Table((("a", "b"), ("1", "x | y"))),
        Code("print(1)\n\nprint(2)"),
        Figure("A picture"),
        Heading("Deep", 3),
        Table((("h",), ("v",))),
        Paragraph("Last link."),
    ]
    assert found[0].place.line == 4
    assert [path for path, _ in with_headings(found)][-1] == ("Top title", "Lists", "Deep")
    top = tree(found)
    assert [child.heading.text for child in top.children] == ["Top title"]
    assert top.children[0].children[1].children[-1].heading.text == "Deep"


HTML = """<!doctype html><html><head><title>no</title><style>p {}</style></head><body>
<nav>menu</nav><h1>Top&amp;title</h1>
<p>One <b>bold</b> word<br>next
<p>Two<script>alert("<p>no</p>")</script>
<div>Loose <span>text</span></div>
<ul><li>a<li>b<ol><li>c</ol></ul>
<table><caption>The caption</caption>
<tr><th>k<th colspan=2>v</tr>
<tr><td rowspan=2>x<td>1<td>2</tr>
<tr><td>3<td>4</tr></table>
<pre>
 a
  b
</pre>
<img alt="a plan" src=x><h2>Sub</h2><p>end
"""


def test_html(tmp_path):
    assert plain(blocks(tmp_path, "a.html", HTML)) == [
        Heading("Top&title", 1),
        Paragraph("One bold word"),
        Paragraph("next"),
        Paragraph("Two"),
        Paragraph("Loose text"),
        Bullets(((0, "a"), (0, "b"), (1, "c"))),
        Table((("k", "v", "v"), ("x", "1", "2"), ("x", "3", "4")), 1, "The caption"),
        Code(" a\n  b"),
        Figure("a plan"),
        Heading("Sub", 2),
        Paragraph("end"),
    ]


@pytest.mark.parametrize(
    "page",
    [
        "<table>" * 500 + "x",
        "<div>" * 20_000 + "x",
        "<td colspan=99999 rowspan=99999>x",
        "<table><tr>" + "<td colspan=200 rowspan=200>x" * 50,
        "</table></ul></h1></td><p>x",
        "<p" + " a=b" * 10_000 + ">x",
        "<!--" + "x" * 10_000,
        "<ul><li>" * 3000,
    ],
)
def test_pages_that_mean_no_good_are_read_all_the_same(tmp_path, page):
    assert len(blocks(tmp_path, "a.html", page)) <= 3000


def test_csv_comes_in_parts_with_its_header(tmp_path):
    rows = "\n".join(f"{i};n{i};" for i in range(5))
    path = tmp_path / "a.csv"
    path.write_text(f"id;name;note\n\n{rows}\n")
    found = list(Csv(part_rows=2).read(path))
    assert [table.rows[0] for table in found] == [("id", "name", "note")] * 3
    assert [len(table.rows) for table in found] == [3, 3, 2]
    assert found[1].place.line == 5
    (only,) = Csv(columns=["note", "id"]).read(path)
    assert only.rows[:2] == (("note", "id"), ("", "0"))
    with pytest.raises(DataError, match="no column 'nam'; there are id, name"):
        list(Csv(columns=["nam"]).read(path))
    path.write_text('a,b\n"x, y",2\n3\n')
    (only,) = Csv().read(path)
    assert only.rows == (("a", "b"), ("x, y", "2"), ("3", ""))
    path.write_text(",".join("x" * 1001) + "\n")
    with pytest.raises(DataError, match=r"line 1: has 1001 columns"):
        list(Csv().read(path))


def test_jsonl(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(
        json.dumps({"name": "n", "tags": ["a", 1], "deep": {"x": 1}, "no": None}) + "\n\n" + '{"name": "m"}\n'
    )
    assert plain(Jsonl(title="name").read(path)) == [
        Heading("n", 1),
        Paragraph('tags: a, 1\ndeep: {"x": 1}'),
        Heading("m", 1),
    ]
    path.write_text('{"a": 1}\n[1]\n')
    with pytest.raises(DataError, match="line 2: is no object"):
        list(Jsonl().read(path))
    path.write_text("[" * 100_000)
    with pytest.raises(DataError, match="line 1: is no JSON"):
        list(Jsonl().read(path))


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(DataError, match=r"'.htmx' are not known; did you mean '.htm"):
        reader_of(tmp_path / "a.htmx")
    with pytest.raises(DataError, match="No such file"):
        list(reader_of(tmp_path / "a.txt").read(tmp_path / "a.txt"))
    with pytest.raises(DataError, match="is no text"):
        blocks(tmp_path, "a.txt", b"MZ\0\0\0")
    (tmp_path / "b.txt").write_text("x" * 100)
    with pytest.raises(DataError, match="has 100 bytes, and 10 are read"):
        list(type(reader_of(tmp_path / "b.txt"))(max_bytes=10).read(tmp_path / "b.txt"))
