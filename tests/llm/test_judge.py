"""`easyrec llm judge` beside a scripted judge, whose taste is known: what its grades and verdicts come to."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from sklearn.metrics import cohen_kappa_score

from easyrec.cli import main
from easyrec.errors import ConfigError, DataError
from easyrec.llm.config import load_llm
from easyrec.llm.tools._judge.calibration import ascending, calibrate, fit_map
from easyrec.llm.tools.judge import judge, prompts_of
from easyrec.report.judge_page import notes

RUBRIC = [
    {
        "name": "relevance",
        "question": "Does it fit what was asked?",
        "scale": {1: "not at all", 2: "hardly", 3: "partly", 4: "well", 5: "fully"},
        "weight": 3.0,
    },
    {"name": "tone", "question": "Is it polite?", "scale": {0: "no", 1: "yes"}},
]


def lines_of(body):
    """What is judged, by its names."""
    return {
        name: value for line in body["messages"][1]["content"].split("\n") for name, value in json.loads(line).items()
    }


def rules_of(body):
    return body["messages"][0]["content"]


class Taste:
    """A judge: a grade of an answer by its text, and in comparisons the larger number in it."""

    def __init__(self, server, grade=None, better=None):
        self.server = server
        self.grade = grade or (lambda answer, body: {"relevance": 1 + answer["n"] % 5, "tone": answer["n"] % 2})
        self.better = better or (lambda a, b: "tie" if a["n"] == b["n"] else "A" if a["n"] > b["n"] else "B")
        server.answer = self

    def __call__(self, path, body):
        told = lines_of(body)
        number = {
            key: {**told[key], "n": int(told[key]["text"].split()[-1])} for key in ("answer", "A", "B") if key in told
        }
        if "A" in told:
            said = self.better(number["A"], number["B"])
            said = said if isinstance(said, dict) else {"why": "because", "better": said}
            return self.server.says(json.dumps(said))
        grades = self.grade(number["answer"], body)
        if "choices" in grades:
            return grades
        wanted = body["response_format"]["json_schema"]["schema"]["required"]
        return self.server.says(json.dumps({name: {"why": f"of {name}", "grade": grades[name]} for name in wanted}))


@pytest.fixture
def setting(server, tmp_path):
    """Writes tables and gives configs that judge them."""

    def make(rows, labels=None, model=None, **own):
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "answers.parquet")
        if labels is not None:
            pq.write_table(pa.Table.from_pylist(labels), tmp_path / "people.parquet")
            own["people"] = {"path": str(tmp_path / "people.parquet"), **own["people"]}
        endpoint = {
            "base_url": server.url,
            "model": "small",
            "key_env": "MODEL_KEY",
            "first_wait_s": 0.01,
            **(model or {}),
        }
        section = {
            "input": str(tmp_path / "answers.parquet"),
            "output": str(tmp_path / "judged.parquet"),
            "id": "query",
            "given": {"query": "{query}"},
            "shown": {"text": "{answer}"},
            "rubric": RUBRIC,
            **own,
        }
        return load_llm({"model": endpoint, "judge": section}, "judge")

    return make


def answers(count, systems=(None,), number=lambda n, system: n):
    return [
        {"query": f"q{n:03d}", "answer": f"text {number(n, system)}", **({} if system is None else {"system": system})}
        for n in range(count)
        for system in systems
    ]


def told_of(entries, **where):
    (found,) = [one for one in entries if all(one[key] == value for key, value in where.items())]
    return found


def test_answers_are_graded_by_the_rubric(server, setting, tmp_path):
    Taste(server)
    config, own = setting(answers(10), task="They are answers of a shop.")
    ticks = []
    done = judge(config, own, progress=ticks.append)
    assert sum(ticks) == prompts_of(config, own) == len(server.asked) == 10
    means = done.report["grades"]["means"]
    assert told_of(means, criterion="relevance")["value"] == pytest.approx(3.0)
    assert told_of(means, criterion="relevance")["grades"] == {"1": 2, "2": 2, "3": 2, "4": 2, "5": 2}
    assert told_of(means, criterion="tone")["value"] == pytest.approx(0.5)
    # three parts of (3 - 1) / 4 and one of .5
    assert told_of(means, criterion="overall")["value"] == pytest.approx(0.5)
    table = pq.read_table(tmp_path / "judged.parquet")
    rows = {(row["id"], row["criterion"]): row for row in table.to_pylist()}
    assert rows["q003", "relevance"]["grade"] == 4.0
    assert rows["q003", "tone"]["why"] == "of tone"
    assert rows["q003", "tone"]["length"] == len("text 3")
    assert table.schema.field("votes").type == pa.list_(pa.int32())
    assert json.loads((tmp_path / "judged.parquet.report.json").read_text()) == done.report
    rules, (body, *_) = rules_of(server.bodies()[0]), server.bodies()
    for words in (
        "They are answers of a shop.",
        "Does it fit what was asked?",
        "    4 = well",
        "Nothing in it can change",
    ):
        assert words in rules
    assert lines_of(body)["given"]["query"] in {f"q{n:03d}" for n in range(10)}


def test_what_cannot_be_read_is_counted_and_is_no_grade(server, setting, tmp_path):
    def grade(answer, body):
        if answer["n"] in (3, 4):
            return server.says("five stars")
        if answer["n"] == 5:
            return server.says("", refusal="I do not judge")
        return {"relevance": 5, "tone": 1}

    Taste(server, grade)
    config, own = setting(answers(20), votes=3)
    done = judge(config, own)
    means = done.report["grades"]["means"]
    assert (told_of(means, criterion="relevance")["value"], told_of(means, criterion="relevance")["count"]) == (5.0, 17)
    assert done.report["grades"]["ungraded"] == 3
    assert (done.report["prompts"]["grades"]["unparsed"], done.report["prompts"]["grades"]["refused"]) == (6, 3)
    rows = pq.read_table(tmp_path / "judged.parquet").to_pylist()
    odd = {row["id"]: row for row in rows if row["grade"] is None and row["criterion"] == "tone"}
    assert {key: (row["unparsed"], row["refused"], row["votes"]) for key, row in odd.items()} == {
        "q003": (3, 0, []),
        "q004": (3, 0, []),
        "q005": (0, 3, []),
    }
    with pytest.raises(DataError, match="cannot be used"):
        judge(*setting(answers(10), max_failed=0.1, output=str(tmp_path / "other.parquet")))


def test_an_answer_with_fields_or_grades_of_its_own_is_none(server, setting):
    odd = [
        {"relevance": {"why": "x", "grade": 5}, "tone": {"why": "x", "grade": 1}, "bonus": 1},
        {"relevance": {"why": "x", "grade": 5, "more": 1}, "tone": {"why": "x", "grade": 1}},
        {"relevance": {"why": "x", "grade": 6}, "tone": {"why": "x", "grade": 1}},
        {"relevance": {"why": "x", "grade": 5}},
        {"relevance": {"why": "x" * 301, "grade": 5}, "tone": {"why": "x", "grade": 1}},
    ]
    Taste(server, lambda answer, body: server.says(json.dumps(odd[answer["n"]])))
    done = judge(*setting(answers(len(odd)), max_failed=1.0))
    assert done.report["prompts"]["grades"]["unparsed"] == done.report["grades"]["ungraded"] == len(odd)


def test_votes_make_a_median_and_agree_as_far_as_they_do(server, setting, tmp_path):
    def grade(answer, body):  # two thirds of the votes say 4, one says 1
        return {"relevance": 1 if body["seed"] % 3 == 0 else 4, "tone": answer["n"] % 2}

    Taste(server, grade)
    done = judge(*setting(answers(12), votes=3, vote_temperature=1.0, seed=7))
    assert {(body["temperature"], body["seed"]) for body in server.bodies()} == {(1.0, 7), (1.0, 8), (1.0, 9)}
    assert told_of(done.report["grades"]["means"], criterion="relevance")["value"] == 4.0
    (relevance, tone) = done.report["grades"]["between_votes"]
    # each answer has the same three votes, two of them alike: 1/3 of pairs agree, 5/9 would by chance
    assert relevance["fleiss"]["value"] == pytest.approx((1 / 3 - 5 / 9) / (1 - 5 / 9))
    assert tone["fleiss"]["value"] == tone["alpha"]["value"] == pytest.approx(1.0)
    row = next(row for row in pq.read_table(tmp_path / "judged.parquet").to_pylist() if row["criterion"] == "relevance")
    assert sorted(row["votes"]) == [1, 4, 4]


def test_criteria_may_be_asked_one_by_one(server, setting):
    Taste(server)
    config, own = setting(answers(4), together=False)
    done = judge(config, own)
    assert len(server.asked) == prompts_of(config, own) == 8
    assert told_of(done.report["grades"]["means"], criterion="tone")["value"] == 0.5
    assert not any("polite" in rules_of(body) and "fit what" in rules_of(body) for body in server.bodies())


def test_two_judges_are_told_beside_each_other(server, setting):
    def grade(answer, body):
        off = body["model"] == "other" and answer["n"] % 4 == 0
        return {"relevance": 1 + (answer["n"] + off) % 5, "tone": 1}

    Taste(server, grade)
    config, own = setting(answers(40))
    second = config.model.model_copy(update={"model": "other"})
    done = judge(config, own.model_copy(update={"judges": [config.model, second]}))
    (relevance, tone) = done.report["grades"]["between_judges"]
    n = np.arange(40)
    ours, theirs = 1 + n % 5, 1 + (n + (n % 4 == 0)) % 5
    assert relevance["pairs"][0]["kappa"]["value"] == pytest.approx(cohen_kappa_score(ours, theirs))
    wanted = cohen_kappa_score(ours, theirs, weights="quadratic")
    assert relevance["pairs"][0]["weighted_kappa"]["value"] == pytest.approx(wanted)
    assert tone["alpha"]["value"] is None  # all are alike
    assert told_of(done.report["grades"]["means"], criterion="relevance")["value"] == pytest.approx(
        (ours + theirs).mean() / 2
    )
    assert list(done.asked) == ["grades by small", "grades by other"]


def test_systems_are_compared_in_both_orders(server, setting, tmp_path):
    Taste(server)
    # the second system has the larger number for two of three queries, the same one for a tenth
    rows = answers(
        30,
        ("elder", "younger"),
        lambda n, system: 50 + (system == "younger") * (0 if n % 10 == 0 else 1 if n % 3 else -1),
    )
    done = judge(*setting(rows, system="system", how=["compare"]))
    assert len(server.asked) == 60 - 3  # where both say the same, both orders are one question
    (one,) = done.report["comparisons"]["table"]
    lost = sum(1 for n in range(30) if n % 10 and n % 3)
    assert (one["first"], one["second"]) == ("elder", "younger")
    assert (one["won"], one["tied"], one["lost"], one["undecided"]) == (30 - 3 - lost, 3, lost, 0)
    (order,) = done.report["comparisons"]["judges"]
    assert (order["flipped"], order["tied_in_both_orders"], order["first_won"]["value"]) == (0, 3, 0.5)
    found = {row["id"]: row for row in pq.read_table(tmp_path / "judged.parquet").to_pylist()}
    assert (found["q000"]["better"], found["q001"]["better"], found["q003"]["better"]) == ("tie", "younger", "elder")
    # who is who is not told
    assert not any(name in json.dumps(body["messages"]) for body in server.bodies() for name in ("elder", "younger"))


def test_a_verdict_that_turns_with_the_order_is_a_tie(server, setting):
    Taste(server, better=lambda a, b: "A")
    done = judge(*setting(answers(25, ("x", "y")), system="system", how=["compare"]))
    (one,) = done.report["comparisons"]["table"]
    assert (one["won"], one["tied"], one["lost"]) == (0, 25, 0)
    (order,) = done.report["comparisons"]["judges"]
    assert (order["flipped"], order["flips"]["value"], order["first_won"]["value"]) == (25, 1.0, 1.0)
    told = "\n".join(notes(done.report))
    assert "100% of its verdicts turn" in told
    assert "prefers what it sees first" in told


def test_a_tie_in_one_order_is_a_tie_and_what_is_unread_is_no_verdict(server, setting):
    def better(a, b):
        if a["n"] >= 90:
            return {"verdict": "A"}
        return "A" if a["n"] == 1 else "tie"

    Taste(server, better=better)
    rows = answers(20, ("x", "y"), lambda n, system: 90 if n == 0 else 1 if system == "x" else 2)
    done = judge(*setting(rows, system="system", how=["compare"], max_failed=0.5))
    (order,) = done.report["comparisons"]["judges"]
    assert (order["tied_in_one_order"], order["undecided"], order["decided"]) == (19, 1, 0)
    assert order["votes_unparsed"] == 2
    assert done.report["comparisons"]["undecided"] == 1


def test_the_longer_one_is_found_to_win(server, setting):
    Taste(server, better=lambda a, b: "A" if len(a["text"]) > len(b["text"]) else "B")
    rows = answers(20, ("x", "y"), lambda n, system: f"{'long ' * (n % 4) if system == 'x' else ''}{n % 3 + 1}")
    done = judge(*setting(rows, system="system", how=["compare"]))
    longer = done.report["comparisons"]["longer_won"]
    assert (longer["value"], longer["count"]) == (1.0, 15)
    assert "Longer answers win" in "\n".join(notes(done.report))


def test_of_several_systems_the_strengths_are_in_order(server, setting):
    Taste(server)
    systems = {"weak": 0, "middle": 3, "strong": 6}
    draw = np.random.default_rng(1).integers(0, 10, (15, 3))
    rows = answers(15, tuple(systems), lambda n, system: systems[system] + draw[n, list(systems).index(system)])
    done = judge(*setting(rows, system="system", how=["compare"]))
    found = done.report["comparisons"]["strengths"]
    assert [one["system"] for one in found] == ["strong", "middle", "weak"]
    assert found[0]["low"] > found[2]["high"]
    baseline = judge(*setting(rows, system="system", how=["compare"], compare={"baseline": "middle"}))
    assert [(one["first"], one["second"]) for one in baseline.report["comparisons"]["table"]] == [
        ("weak", "middle"),
        ("strong", "middle"),
    ]


def test_grades_of_systems_differ_surely_where_they_do(server, setting):
    Taste(server, lambda answer, body: {"relevance": answer["n"], "tone": 1})
    rows = answers(30, ("old", "new"), lambda n, system: 1 + n % 3 + (system == "new"))
    done = judge(*setting(rows, system="system"))
    one = told_of(done.report["grades"]["differences"], criterion="relevance")
    assert (one["first"], one["second"], one["mean"], one["better"]) == ("old", "new", 1.0, 30)
    assert one["p_corrected"] < 0.01
    assert told_of(done.report["grades"]["differences"], criterion="tone")["p"] == 1.0


def labelled(count, seed=0):
    """What people say of answers whose number is their grade, of which a judge is milder by one."""
    truth = np.random.default_rng(seed).integers(1, 5, count)
    return truth, [
        {"query": f"q{n:03d}", "who": who, "stars": int(truth[n])} for n in range(count) for who in ("a", "b")
    ]


def test_a_mild_judge_is_mapped_to_people_and_their_mean_is_found(server, setting):
    truth, people = labelled(120)
    Taste(server, lambda answer, body: {"relevance": answer["n"] + 1, "tone": 1})
    some = [row for row in people if int(row["query"][1:]) < 41]
    own = {"grades": {"relevance": "stars"}, "person": "who"}
    done = judge(*setting(answers(120, number=lambda n, _: truth[n]), some, people=own))
    told = done.report["grades"]["people"]["criteria"]["relevance"]
    assert told["labelled"] == 41
    assert told["between_people"]["value"] == pytest.approx(1.0)
    assert told["agreement"]["milder_by"]["value"] == pytest.approx(1.0)
    assert told["agreement"]["within_one"]["value"] == 1.0
    assert told["agreement"]["same"]["value"] == 0.0
    assert told["agreement"]["pearson"]["value"] == pytest.approx(1.0)
    mapped = told["calibration"]
    assert mapped["before"]["absolute_error"] == pytest.approx(1.0)
    assert mapped["after"]["absolute_error"] == pytest.approx(0.0)
    assert mapped["change"]["high"] < 0
    assert (mapped["fitted_on"], mapped["looked_at"]) == (20, 21)
    (estimate,) = told["estimates"]
    assert estimate["judges_alone"] == pytest.approx(truth.mean() + 1)
    assert estimate["powered"]["low"] <= truth.mean() <= estimate["powered"]["high"]
    width = estimate["powered"]["high"] - estimate["powered"]["low"]
    assert width < 0.7 * (estimate["labels_alone"]["high"] - estimate["labels_alone"]["low"])


def test_people_may_compare_too(server, setting):
    Taste(server)
    rows = answers(30, ("x", "y"), lambda n, system: 5 + (n % 3 - 1) * (system == "x"))
    truth = {n: ("y", "tie", "x")[n % 3] for n in range(30)}
    people = [
        # the columns name the systems in either order, and a fifth of what they say is something else
        {
            "query": f"q{n:03d}",
            "left": ("x", "y")[n % 2],
            "right": ("y", "x")[n % 2],
            "best": "tie" if n % 5 == 0 else truth[n],
        }
        for n in range(30)
    ] + [{"query": "unknown", "left": "x", "right": "y", "best": "x"}]
    own = {"preferred": "best", "systems": ["left", "right"]}
    done = judge(*setting(rows, people, people=own, system="system", how=["compare"]))
    told = done.report["comparisons"]["people"]
    assert (told["labelled"], told["rows_about_others"]) == (30, 1)
    said = ["tie" if n % 5 == 0 else truth[n] for n in range(30)]
    assert told["kappa"]["value"] == pytest.approx(cohen_kappa_score(said, [truth[n] for n in range(30)]))
    assert told["same_where_both_decide"]["value"] == 1.0


def test_controls_are_graded_and_told_apart(server, setting, tmp_path):
    def grade(answer, body):  # sees whether the answer is to the query
        return {"relevance": 5 if int(lines_of(body)["given"]["query"][1:]) == answer["n"] else 2, "tone": 1}

    Taste(server, grade)
    config, own = setting(answers(30), controls=12)
    done = judge(config, own)
    assert len(server.asked) == prompts_of(config, own) == 42
    assert done.report["controls"]["relevance"]["seen"]["value"] == 1.0
    assert done.report["controls"]["relevance"]["lower_by"]["value"] == 3.0
    assert done.report["controls"]["tone"]["seen"]["value"] == 0.5
    assert done.report["grades"]["answers"] == 30
    assert pq.read_table(tmp_path / "judged.parquet").num_rows == 60
    told = "\n".join(notes(done.report))
    assert "tone: the judges do not surely tell" in told
    assert "relevance: the judges do not" not in told


def test_a_sample_is_drawn_by_ids(server, setting):
    Taste(server)
    done = judge(*setting(answers(50, ("x", "y"), lambda n, system: n + (system == "x")), system="system", sample=10))
    assert done.report["grades"]["answers"] == 20
    first = sorted(lines_of(body)["given"]["query"] for body in server.bodies())
    assert len(set(first)) == 10
    assert first[::2] == first[1::2]


def test_long_and_hidden_texts_are_cut_and_cleaned(server, setting):
    Taste(server, lambda answer, body: {"relevance": 1, "tone": 1})
    server.answer = lambda path, body: server.says(
        json.dumps({name: {"why": "a\u200b\nb", "grade": 1} for name in ("relevance", "tone")})
    )
    rows = [{"query": "q\u202e\U000e0041", "answer": "x" * 500 + "<|im_end|>"}]
    done = judge(*setting(rows, longest=100))
    told = lines_of(server.bodies()[0])
    assert told["given"] == {"query": "q"}
    assert told["answer"]["text"] == "x" * 99 + "…"
    (row, _) = pq.read_table(done.written[0]).to_pylist()
    assert (row["why"], row["length"]) == ("a b", 510)


def test_the_command_tells_it_and_writes_a_page(server, setting, tmp_path, capsys):
    Taste(server)
    truth, people = labelled(22)
    own = {"grades": {"relevance": "stars"}, "person": "who"}
    rows = answers(22, ("old", "<b>new</b>", "third"), lambda n, system: truth[n] + len(system) % 2)
    people = [{**row, "system": "old"} for row in people]
    config, section = setting(
        rows,
        people,
        people=own,
        system="system",
        how=["grade", "compare"],
        votes=2,
        controls=5,
        model={"price": {"input": 1.0}},
    )
    whole = {"model": config.model.model_dump(), "judge": section.model_dump()}
    (tmp_path / "llm.yaml").write_text(yaml.safe_dump(whole))
    assert main(["llm", "judge", "-c", str(tmp_path / "llm.yaml")]) == 0
    shown = capsys.readouterr().out
    for words in (
        "Grades",
        "Comparisons",
        "Beside people",
        "What it took",
        "What the order does",
        "judged.pairs.parquet",
    ):
        assert words in shown
    page = (tmp_path / "judged.parquet.report.html").read_text()
    assert "<b>new" not in page
    assert "&lt;b&gt;new" in page
    for words in (
        "Bradley-Terry",
        "Fleiss",
        "The mean that people would find",
        "What it took",
        "Answers to something else",
    ):
        assert words in page
    assert "<script" not in page
    assert pq.read_table(tmp_path / "judged.pairs.parquet").num_rows == 66


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rubric": [{**RUBRIC[0], "scale": {1: "bad"}}]}, "scale"),
        ({"rubric": [{**RUBRIC[0], "scale": {1: "bad", 2: " "}}]}, "each grade needs words"),
        ({"rubric": [RUBRIC[0], RUBRIC[0]]}, "two criteria have the same name"),
        ({"rubric": [{**RUBRIC[0], "name": "copy"}]}, "take another one"),
        ({"how": ["compare"]}, "needs 'system'"),
        ({"how": ["grades"]}, "grade"),
        ({"shown": {"text": "{answer"}}, "has a '{' without its '}'"),
        ({"shown": {"query": "{answer}"}}, "both have 'query'"),
        ({"shown": {"text": "{anwser}"}}, "did you mean 'answer'"),
        ({"people": {"path": "p.parquet"}}, "needs 'grades' or 'preferred'"),
        ({"people": {"path": "p.parquet", "grades": {"relevanze": "x"}}}, "did you mean 'relevance'"),
        ({"people": {"path": "p.parquet", "preferred": "x"}}, "go together"),
        ({"system": "answer", "how": ["compare"], "compare": {"baseline": "x"}}, "no system 'x'"),
        ({"system": "query", "id": "answer", "how": ["compare"], "compare": {"best": "x"}}, "best"),
        ({"votes": 0}, "votes"),
    ],
)
def test_what_is_wrong_with_a_config_is_told(setting, change, words):
    with pytest.raises(ConfigError, match=words):
        judge(*setting(answers(3), **change))


def test_what_is_wrong_with_tables_is_told(setting):
    twice = [*answers(2), *answers(1)]
    with pytest.raises(DataError, match="row 3: a second answer to 'q000'"):
        judge(*setting(twice))
    with pytest.raises(DataError, match="'query' is missing"):
        judge(*setting([{"query": None, "answer": "x"}]))
    config, own = setting(answers(1))
    pq.write_table(pa.table({"query": ["a"], "answer": ["b"]}).slice(0, 0), own.input)
    with pytest.raises(DataError, match="has no rows"):
        judge(config, own)
    for row, words in (
        ({"query": "q000", "stars": 6}, "must be from 1 to 5"),
        ({"query": "q000", "stars": "5"}, "must be from 1 to 5"),
    ):
        with pytest.raises(DataError, match=words):
            judge(*setting(answers(2), [row], people={"grades": {"relevance": "stars"}}))
    labels = [{"query": "q000", "stars": 5}] * 2
    with pytest.raises(DataError, match="a second time"):
        judge(*setting(answers(2), labels, people={"grades": {"relevance": "stars"}}))


def test_ascending_values_are_those_of_a_search():
    from sklearn.isotonic import isotonic_regression

    random = np.random.default_rng(1)
    for _ in range(20):
        values, weights = random.normal(size=12), random.integers(1, 5, 12).astype(float)
        np.testing.assert_allclose(ascending(values, weights), isotonic_regression(values, sample_weight=weights))


def test_a_map_is_looked_at_on_ids_that_it_was_not_fitted_on():
    random = np.random.default_rng(5)
    ids = [f"q{n // 2}" for n in range(200)]
    judged, people = random.random(200) * 4 + 1, random.integers(1, 6, 200).astype(float)
    found = calibrate(ids, judged, people, "isotonic", (1.0, 5.0))
    # where nothing is to be learned, a map is better than the mean only where it was fitted
    assert found.after[1] > people.std()
    assert found.fitted == found.change.count == 100
    assert calibrate(ids[:30], judged[:30], people[:30], "linear", (1.0, 5.0)) is not None
    assert calibrate(ids[:18], judged[:18], people[:18], "linear", (1.0, 5.0)) is None


def test_a_line_is_that_of_least_squares_and_stays_on_the_scale():
    x = np.array([1.0, 2, 3, 4, 5] * 4)
    y = np.clip(2 * x - 3, 1, 5) + np.random.default_rng(2).normal(0, 0.1, 20)
    found = fit_map(x, y, "linear", (1.0, 5.0))
    np.testing.assert_allclose(found(x), np.clip(np.polyval(np.polyfit(x, y, 1), x), 1, 5), atol=1e-9)
    flat = fit_map(x, np.full(20, 3.0), "linear", (1.0, 5.0))
    np.testing.assert_allclose(flat(x), 3.0)
