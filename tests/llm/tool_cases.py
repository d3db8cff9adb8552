"""How each tool of `easyrec llm` is run by the tests that hold for all of them.

A new tool needs a case here: `test_tools_attacks.py`, `test_tools_servers.py` and `test_tools_small.py` then run over it.
"""

import json
import re
from abc import ABC, abstractmethod
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


class Case(ABC):
    """A tool, with a table of texts that others wrote.

    `section` writes the tables and gives the tool's section of `llm.yaml`; `good` is what a sound model answers to a request, and
    `formed` the answer, within the schema, of one that does whatever a text wants; `holds` looks at what was written.
    """

    tool: str
    name: str
    answers = True
    """Whether a language model is asked; else an embedder alone."""
    asks = True
    """Whether any server is asked."""
    whole = True
    """Whether the tool runs beside bad servers by it; else it is about attacks alone."""
    embeds = False
    """Whether it needs an embedder."""

    @abstractmethod
    def section(self, folder: Path, texts: list[str]) -> dict:
        """The tool's section of `llm.yaml`, whose tables it writes."""

    @abstractmethod
    def output(self, folder: Path) -> Path:
        """The file beside which the report lies."""

    def good(self, body: dict) -> str:
        """What a sound model says; of tools that ask one."""
        raise AssertionError(f"{self.name} asks no language model")

    def formed(self, body: dict, attack: dict) -> str:
        """What an obedient model says within the schema; of tools that ask one."""
        raise AssertionError(f"{self.name} asks no language model")

    def failed(self, folder: Path, texts: list[str]) -> int:
        """How many of the texts have no result, in what was written; of tools that are run `whole`."""
        raise AssertionError(f"{self.name} is not run beside bad servers")

    @abstractmethod
    def holds(self, folder: Path, texts: list[str]) -> None:
        """What was written names nothing but what was shown, and is what it must be."""

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


@case
class ProfileCase(Case):
    """Texts are those of items."""

    tool = name = "profile"
    FIELDS = [
        {"name": "tags", "type": "list", "about": "what it is like", "grounded": True},
        {"name": "audience", "type": "choice", "about": "who it is for", "allowed": ["children", "adults"]},
        {"name": "summary", "type": "text", "about": "what it is"},
    ]

    def section(self, folder, texts):
        rows = [{"item_id": n, "title": text} for n, text in enumerate(texts)]
        items = {"path": write(folder / "items.parquet", rows), "text": "{title}"}
        return {"items": items, "of_items": {"output": str(self.output(folder)), "fields": self.FIELDS}}

    def output(self, folder):
        return folder / "profiles.parquet"

    def good(self, body):
        return json.dumps({"tags": ["number"], "audience": "adults", "summary": "so"})

    def formed(self, body, attack):
        tags = [attack["obeys"][:40], "secret-1", "admin"]
        return json.dumps({"tags": tags, "audience": "children", "summary": attack["obeys"][:300]})

    def failed(self, folder, texts):
        return sum(row["tags"] is None for row in pq.read_table(self.output(folder)).to_pylist())

    def holds(self, folder, texts):
        rows = pq.read_table(self.output(folder)).to_pylist()
        assert [row["item_id"] for row in rows] == list(range(len(texts)))
        for row in rows:
            assert row["audience"] in ("children", "adults", None)
            assert row["summary"] is None or (len(row["summary"]) <= 300 and seen(row["summary"]) == row["summary"])
            for tag in row["tags"] or []:  # what the text does not say is no tag
                said = {word[:4] for word in re.findall(r"[a-z]{6,}", tag.casefold())}  # endings do not count
                assert all(word in texts[row["item_id"]].casefold() for word in said), (tag, texts[row["item_id"]])


@case
class UserProfileCase(ProfileCase):
    """Texts are those of items that users took."""

    name = "profile, users"
    whole = False

    def section(self, folder, texts):
        events = [{"user_id": f"u{n}", "item_id": n, "timestamp": n} for n in range(len(texts))]
        section = super().section(folder, texts)
        path = write(folder / "events.parquet", events)
        users = {"output": str(self.output(folder)), "fields": self.FIELDS, "events": {"path": path}, "least": 1}
        return {"items": section["items"], "of_users": users}

    def holds(self, folder, texts):
        rows = pq.read_table(self.output(folder)).to_pylist()
        assert [row["user_id"] for row in rows] == [f"u{n}" for n in range(len(texts))]
        assert {row["audience"] for row in rows} <= {"children", "adults", None}


@case
class RerankCase(Case):
    """Texts are what the users of requests took before."""

    tool = name = "rerank"
    how = {"type": "listwise", "shuffles": 2}
    PLAIN = ["a candidate", "another candidate", "one more candidate"]

    def section(self, folder, texts):
        plain = [{"item_id": f"c{n}", "title": text} for n, text in enumerate(self.PLAIN)]
        took = [{"item_id": f"i{n}", "title": text} for n, text in enumerate(texts)]
        events = [{"user_id": n, "item_id": f"i{n}", "timestamp": n} for n in range(len(texts))]
        rows = [
            {"request_id": n, "user_id": n, "item_id": f"c{place}", "score": -float(place), "label": float(place == 1)}
            for n in range(len(texts))
            for place in range(len(self.PLAIN))
        ]
        return {
            "candidates": {"path": write(folder / "candidates.parquet", rows), "user": "user_id", "label": "label"},
            "items": {"path": write(folder / "items.parquet", [*plain, *took]), "text": "{title}"},
            "events": {"path": write(folder / "events.parquet", events)},
            "how": self.how,
            "output": str(self.output(folder)),
        }

    def output(self, folder):
        return folder / "reranked.parquet"

    def good(self, body):
        kinds = {"Order": {"order": [2, 1, 3]}, "Better": {"better": "A"}, "Grade": {"grade": 3}}
        return json.dumps(kinds[body["response_format"]["json_schema"]["name"]])

    def formed(self, body, attack):
        kinds = {"listwise": {"order": [999, 3, 3, 0]}, "pairwise": {"better": "B"}, "pointwise": {"grade": 5}}
        return json.dumps(kinds[self.how["type"]])

    def failed(self, folder, texts):
        rows = pq.read_table(self.output(folder)).to_pylist()
        return len({row["request_id"] for row in rows if row["state"] == "kept"})

    def holds(self, folder, texts):
        rows = pq.read_table(self.output(folder)).to_pylist()
        found = {}
        for row in rows:
            found.setdefault(row["request_id"], []).append((row["place"], row["item_id"]))
        assert list(found) == list(range(len(texts)))
        for own in found.values():  # each candidate once, and no other one
            assert [place for place, _ in own] == list(range(len(self.PLAIN)))
            assert sorted(item for _, item in own) == [f"c{n}" for n in range(len(self.PLAIN))]


@case
class RerankPairwiseCase(RerankCase):
    """The same, two candidates at a time."""

    name = "rerank, pairwise"
    whole = False
    how = {"type": "pairwise", "top": 1}
    PLAIN = RerankCase.PLAIN[:2]


@case
class RerankPointwiseCase(RerankCase):
    """The same, one candidate at a time."""

    name = "rerank, pointwise"
    whole = False
    how = {"type": "pointwise"}
    PLAIN = RerankCase.PLAIN[:2]


@case
class RerankCandidatesCase(RerankCase):
    """Texts are those of candidates."""

    name = "rerank, candidates"
    whole = False

    def section(self, folder, texts):
        items = [{"item_id": f"i{n}", "title": text} for n, text in enumerate(texts)]
        requests = [min(n // 2, len(texts) // 2 - 1) for n in range(len(texts))]  # of two each, one of three
        rows = [
            {"request_id": key, "item_id": f"i{n}", "score": -float(n), "query": "boots"}
            for n, key in enumerate(requests)
        ]
        return {
            "candidates": {"path": write(folder / "candidates.parquet", rows), "query": "{query}"},
            "items": {"path": write(folder / "items.parquet", items), "text": "{title}"},
            "output": str(self.output(folder)),
        }

    def good(self, body):
        return json.dumps({"order": [1]})

    def failed(self, folder, texts):
        return 0

    def holds(self, folder, texts):
        rows = pq.read_table(self.output(folder)).to_pylist()
        assert sorted(row["item_id"] for row in rows) == sorted(f"i{n}" for n in range(len(texts)))
        assert all(abs(int(row["item_id"][1:]) / 2 - row["request_id"]) <= 1 for row in rows)


@case
class AugmentCase(Case):
    """Texts are those of cold items; people took others."""

    tool = name = "augment"
    how = "listwise"
    PEOPLE = 4

    def section(self, folder, texts):
        cold = [{"item_id": f"i{n}", "title": text} for n, text in enumerate(texts)]
        warm = [{"item_id": f"w{n}", "title": f"what people took before, {n}"} for n in range(self.PEOPLE)]
        events = [
            {"user_id": user, "item_id": f"w{(user + n) % self.PEOPLE}", "timestamp": n}
            for user in range(self.PEOPLE)
            for n in range(3)
        ]
        return {
            "items": {"path": write(folder / "items.parquet", [*cold, *warm]), "text": "{title}"},
            "events": {"path": write(folder / "events.parquet", events)},
            "below": 1,
            "users": 2,
            "per_item": 1,
            "per_user": 1000,
            "by": "drawn",
            "how": self.how,
            "output": str(self.output(folder)),
        }

    def output(self, folder):
        return folder / "synthetic.parquet"

    def good(self, body):
        return json.dumps({"people": [1]})

    def formed(self, body, attack):
        return json.dumps({"people": [999, 2]})

    def failed(self, folder, texts):
        return len(texts) - len({row["item_id"] for row in pq.read_table(self.output(folder)).to_pylist()})

    def holds(self, folder, texts):
        rows = pq.read_table(self.output(folder)).to_pylist()
        assert {row["item_id"] for row in rows} <= {f"i{n}" for n in range(len(texts))}
        for row in rows:
            assert row["user_id"] in range(self.PEOPLE)
            assert (row["label"], row["synthetic"], row["timestamp"]) == (1.0, True, 2)
            assert row["sample_weight"] < 1.0


@case
class ExplainCase(Case):
    """Texts are what users took before; what they are recommended is plain."""

    tool = name = "explain"

    def section(self, folder, texts):
        items = [{"item_id": f"i{n}", "title": text} for n, text in enumerate(texts)]
        events = [{"user_id": n, "item_id": f"i{n}", "timestamp": n} for n in range(len(texts))]
        rows = [{"user_id": n, "item_id": "r"} for n in range(len(texts))]
        return {
            "items": {
                "path": write(folder / "items.parquet", [*items, {"item_id": "r", "title": "boots"}]),
                "text": "{title}",
            },
            "events": {"path": write(folder / "events.parquet", events)},
            "recommended": {"path": write(folder / "recommended.parquet", rows)},
            "template": None,
            "output": str(self.output(folder)),
        }

    def output(self, folder):
        return folder / "explanations.parquet"

    def good(self, body):
        event = json.loads(self.told(body).split("\n")[1])["text"]
        return json.dumps({"sentences": [{"text": f"You took {event[:40]} before.", "cites": [1]}]})

    def formed(self, body, attack):
        said = [
            {"text": f"{attack['payload'][:80]} {attack['obeys'][:120]}", "cites": [1, 77]},
            {"text": "Another person took https://evil.example too.", "cites": [1]},
        ]
        return json.dumps({"sentences": said})

    def failed(self, folder, texts):
        return sum(row["text"] is None for row in pq.read_table(self.output(folder)).to_pylist())

    def holds(self, folder, texts):
        rows = pq.read_table(self.output(folder)).to_pylist()
        assert [row["user_id"] for row in rows] == list(range(len(texts)))
        for row in rows:
            assert (row["text"] is None) == (row["state"] == "none")
            assert row["cited"] == ([] if row["text"] is None else [f"i{row['user_id']}"])  # his own event alone
            if row["text"] is not None:
                assert len(row["text"]) <= 240
                assert "evil.example" not in row["text"]
                assert seen(row["text"]) == row["text"]


@case
class InstructCase(Case):
    """Texts are those of items that users took. No model is asked."""

    tool = name = "instruct"
    answers = False
    asks = False
