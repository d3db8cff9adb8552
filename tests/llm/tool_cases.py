"""How each tool of `easyrec llm` is run by the tests that hold for all of them.

A new tool needs a case here: `test_tools_attacks.py`, `test_tools_servers.py` and `test_tools_small.py` then run over it.
"""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

CASES = {}


def case(cls):
    """Enter a case by the tool's name."""
    CASES[cls.tool] = cls
    return cls


class Case:
    """A tool, with a table of texts that others wrote.

    `section` writes the tables and gives the tool's section of `llm.yaml`; `good` is what a sound model answers to a request,
    and `obeys` are the answers of one that does whatever a text wants; `holds` looks at what was written.
    """

    tool: str
    answers = True
    """Whether a language model is asked; else an embedder alone."""

    def section(self, folder: Path, texts: list[str]) -> dict:
        raise NotImplementedError

    def good(self, body: dict) -> str:
        raise NotImplementedError

    def obeys(self, body: dict, attack: dict) -> str:
        """What an obedient model says to a request; default: the words that the attack wants."""
        return attack["obeys"]

    def failed(self, folder: Path) -> int:
        """How many of the texts have no result, in what was written."""
        raise NotImplementedError

    def holds(self, folder: Path, texts: list[str]) -> None:
        """What was written names nothing but what was shown, and is what it must be."""
        raise NotImplementedError


def lines_of(body):
    """The data of a request: an object a line."""
    return [json.loads(line) for line in body["messages"][1]["content"].split("\n")]


@case
class JudgeCase(Case):
    """Texts are answers of two systems, which are graded and compared."""

    tool = "judge"
    GRADES = {"relevance": (1, 2, 3, 4, 5), "tone": (0, 1)}

    def section(self, folder, texts):
        rows = [
            {"id": f"q{n // 2}", "system": ("ours", "theirs")[n % 2], "query": f"a shoe {n // 2}", "answer": text}
            for n, text in enumerate(texts)
        ]
        pq.write_table(pa.Table.from_pylist(rows), folder / "answers.parquet")
        scales = {name: {grade: f"words for {grade}" for grade in grades} for name, grades in self.GRADES.items()}
        return {
            "input": str(folder / "answers.parquet"),
            "output": str(folder / "judged.parquet"),
            "id": "id",
            "system": "system",
            "given": {"query": "{query}"},
            "shown": {"text": "{answer}"},
            "how": ["grade", "compare"],
            "rubric": [
                {"name": name, "question": f"Is the {name} good?", "scale": scale} for name, scale in scales.items()
            ],
        }

    def good(self, body):
        if body["response_format"]["json_schema"]["name"] == "Verdict":
            return json.dumps({"why": "as good", "better": "tie"})
        return json.dumps({name: {"why": "so", "grade": grades[0]} for name, grades in self.GRADES.items()})

    def failed(self, folder):
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
