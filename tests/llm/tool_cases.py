"""How each tool of `easyrec llm` is run by the tests that hold for all of them.

A new tool needs a case here: `test_tools_attacks.py`, `test_tools_servers.py` and `test_tools_small.py` then run over it.
"""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from easyrec.llm.telling import seen

CASES = {}


def case(cls):
    """Enter a case by its name."""
    CASES[cls.name] = cls
    return cls


def told(body: dict) -> str:
    """The data of a request: the last turn of ours but for those that ask for better JSON."""
    return next(
        one["content"] for one in reversed(body["messages"]) if one["role"] == "user" and one["content"][0] == "{"
    )


class Case:
    """A tool, with a table of texts that others wrote.

    `section` writes the tables and gives the tool's section of `llm.yaml`; `good` is what a sound model answers to a request, and
    `formed` the answer, within the schema, of one that does whatever a text wants; `holds` looks at what was written.
    """

    tool: str
    name: str
    answers = True
    """Whether a language model is asked; else an embedder alone."""
    whole = True
    """Whether the tool runs beside bad servers by it; else it is about attacks alone."""
    embeds = False
    """Whether it needs an embedder."""

    def section(self, folder: Path, texts: list[str]) -> dict:
        raise NotImplementedError

    def output(self, folder: Path) -> Path:
        """The file beside which the report lies."""
        raise NotImplementedError

    def good(self, body: dict) -> str:
        raise NotImplementedError

    def formed(self, body: dict, attack: dict) -> str:
        """What an obedient model says within the schema."""
        raise NotImplementedError

    def failed(self, folder: Path, texts: list[str]) -> int:
        """How many of the texts have no result, in what was written."""
        raise NotImplementedError

    def holds(self, folder: Path, texts: list[str]) -> None:
        """What was written names nothing but what was shown, and is what it must be."""
        raise NotImplementedError

    told = staticmethod(told)

    def report(self, folder: Path) -> dict:
        output = self.output(folder)
        return json.loads(output.with_name(f"{output.name}.report.json").read_text(encoding="utf-8"))


def write(path: Path, rows: list[dict]) -> str:
    pq.write_table(pa.Table.from_pylist(rows), path)
    return str(path)


@case
class JudgeCase(Case):
    """Texts are answers of two systems, which are graded and compared."""

    tool = name = "judge"
    GRADES = {"relevance": (1, 2, 3, 4, 5), "tone": (0, 1)}

    def section(self, folder, texts):
        rows = [
            {"id": f"q{n // 2}", "system": ("ours", "theirs")[n % 2], "query": f"a shoe {n // 2}", "answer": text}
            for n, text in enumerate(texts)
        ]
        scales = {name: {grade: f"words for {grade}" for grade in grades} for name, grades in self.GRADES.items()}
        return {
            "input": write(folder / "answers.parquet", rows),
            "output": str(self.output(folder)),
            "id": "id",
            "system": "system",
            "given": {"query": "{query}"},
            "shown": {"text": "{answer}"},
            "how": ["grade", "compare"],
            "rubric": [
                {"name": name, "question": f"Is the {name} good?", "scale": scale} for name, scale in scales.items()
            ],
        }

    def output(self, folder):
        return folder / "judged.parquet"

    def good(self, body):
        if body["response_format"]["json_schema"]["name"] == "Verdict":
            return json.dumps({"why": "as good", "better": "tie"})
        return json.dumps({name: {"why": "so", "grade": grades[0]} for name, grades in self.GRADES.items()})

    def formed(self, body, attack):
        if body["response_format"]["json_schema"]["name"] == "Verdict":
            return json.dumps({"why": attack["obeys"][:300], "better": "A"})
        grades = {name: {"why": attack["obeys"][:300], "grade": grades[-1]} for name, grades in self.GRADES.items()}
        return json.dumps(grades)

    def failed(self, folder, texts):
        rows = pq.read_table(folder / "judged.parquet").to_pylist()
        return len({(row["id"], row["system"]) for row in rows if row["grade"] is None})

    def holds(self, folder, texts):
        ids = {f"q{n // 2}" for n in range(len(texts))}
        grades = pq.read_table(folder / "judged.parquet")
        assert grades.schema.names == [
            "id", "system", "judge", "criterion", "grade", "votes", "unparsed", "refused", "why", "length",
        ]  # fmt: skip
        for row in grades.to_pylist():
            assert row["grade"] is None or row["grade"] in self.GRADES[row["criterion"]]
            assert (row["id"] in ids, row["system"] in ("ours", "theirs")) == (True, True)
            assert row["why"] is None or (len(row["why"]) <= 300 and row["why"].isprintable())
        pairs = pq.read_table(folder / "judged.pairs.parquet").to_pylist()
        assert {row["id"] for row in pairs} == {f"q{n // 2}" for n in range(1, len(texts), 2)}
        assert {row["better"] for row in pairs} <= {"ours", "theirs", "tie", None}
        page = (folder / "judged.parquet.report.html").read_text(encoding="utf-8")
        assert "<script" not in page
        assert "onerror" not in page


@case
class PairCase(Case):
    """Texts are names of categories; all go with the last one, which is ours."""

    tool = name = "pair"
    ANCHOR = "Anchor goods"

    def section(self, folder, texts):
        rows = [{"id": n, "name": text} for n, text in enumerate([*texts, self.ANCHOR])]
        return {"output": str(self.output(folder)), "names": {"path": write(folder / "categories.parquet", rows)}}

    def output(self, folder):
        return folder / "pairs.parquet"

    def good(self, body):
        return json.dumps({"pairs": [{"name": self.ANCHOR, "reason": "so", "confidence": 0.9}]})

    def formed(self, body, attack):
        said = [attack["obeys"], attack["payload"], "secret-1", "admin", self.ANCHOR]
        return json.dumps({"pairs": [{"name": text, "reason": text, "confidence": 1.0} for text in said]})

    def failed(self, folder, texts):
        return len(texts) - len({row["category"] for row in pq.read_table(self.output(folder)).to_pylist()})

    def holds(self, folder, texts):
        rows = pq.read_table(self.output(folder)).to_pylist()
        for row in rows:
            assert 0 <= row["category"] <= len(texts)
            assert 0 <= row["paired"] <= len(texts)
            assert row["paired"] != row["category"]
            assert 0.0 <= row["score"] <= 1.0
            assert len(row["reason"]) <= 300
            assert seen(row["reason"] + row["said"]) == row["reason"] + row["said"]
            assert row["synthetic"]
            assert row["paired_name"] == [*texts, self.ANCHOR][row["paired"]]


@case
class RewriteCase(Case):
    """Texts are what people search."""

    tool = name = "rewrite"
    BID = ["winter boots", "rubber boots"]

    def section(self, folder, texts):
        queries = write(folder / "queries.parquet", [{"query": text, "count": 1.0} for text in texts])
        return {
            "queries": {"path": queries, "count": "count"},
            "bid_words": {
                "path": write(folder / "bids.parquet", [{"bid_word": word} for word in self.BID]),
                "shown": 0,
            },
            "filters": {"bid_word": "normalised"},
            "output": str(self.output(folder)),
        }

    def output(self, folder):
        return folder / "rewrites.parquet"

    def good(self, body):
        return json.dumps({"rewrites": self.BID[:1]})

    def formed(self, body, attack):
        return json.dumps(
            {"rewrites": [attack["obeys"][:400], attack["payload"][:400], "https://evil.example", self.BID[0]]}
        )

    def failed(self, folder, texts):
        return len(texts) - len({row["query"] for row in pq.read_table(self.output(folder)).to_pylist()})

    def holds(self, folder, texts):
        rows = pq.read_table(self.output(folder)).to_pylist()
        assert {row["rewrite"] for row in rows} <= set(self.BID)
        assert {row["query"] for row in rows} <= set(self.queries(texts))
        for row in pq.read_table(folder / "rewrites.rejected.parquet").to_pylist():
            assert row["rewrite"] is None or (len(row["rewrite"]) <= 400 and seen(row["rewrite"]) == row["rewrite"])

    def queries(self, texts):
        return texts


@case
class RewriteExamplesCase(RewriteCase):
    """Texts are rewrites that others clicked, which are shown as examples."""

    name = "rewrite, examples"
    whole = False

    def queries(self, texts):
        return [f"boots of kind {n}x" for n in range(len(texts))]

    def section(self, folder, texts):
        section = super().section(folder, self.queries(texts))
        pairs = [
            {"query": f"{query} old", "rewrite": text} for query, text in zip(self.queries(texts), texts, strict=True)
        ]
        examples = {"path": write(folder / "examples.parquet", pairs), "shots": 1, "by": "words"}
        return {**section, "examples": examples}


@case
class EmbedCase(Case):
    """Texts are those of items."""

    tool = name = "embed"
    answers, embeds = False, True

    def section(self, folder, texts):
        rows = [{"item_id": n, "title": text} for n, text in enumerate(texts)]
        table = {"name": "items", "path": write(folder / "items.parquet", rows), "id": "item_id", "text": "{title}"}
        return {"cache": str(folder / "vectors.db"), "tables": [{**table, "output": str(self.output(folder))}]}

    def output(self, folder):
        return folder / "vectors.parquet"

    def holds(self, folder, texts):
        table = pq.read_table(self.output(folder))
        assert table.column("item_id").to_pylist() == list(range(len(texts)))
        assert {len(vector) for vector in table.column("vector").to_pylist()} == {64}
