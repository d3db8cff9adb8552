"""docs/guide/llm_knowledge.md and llm_ranker.md: configs are read, programs and commands run, every key is described."""

import json
import re
import shlex
from pathlib import Path

import pytest
import yaml

from easyrec.cli import main
from easyrec.llm.config import load_llm
from easyrec.llm.tools import augment, explain, instruct, profile, rerank
from feature_generator.config import members

GUIDE = Path(__file__).parents[1] / "docs" / "guide"
PAGES = {
    name: (GUIDE / f"{name}.md").read_text(encoding="utf-8") for name in ("llm_knowledge", "llm_ranker", "llm_tools")
}
ANSWERS = {
    "People": {"people": [2, 1]},
    "Explanation": {"sentences": [{"text": "It goes with what you bought.", "cites": [1]}]},
    "Order": {"order": [3, 1, 2]},
    "Better": {"better": "A"},
    "Grade": {"grade": 4},
    "Grades": {"sound": {"why": "so", "grade": 3}},
}


def parts(page, kind):
    return re.findall(rf"^```{kind}\n(.*?)^```", PAGES[page], re.MULTILINE | re.DOTALL)


@pytest.fixture
def here(tmp_path, monkeypatch, model_server):
    """A folder with the configs of a page, and a model that answers by the schema."""

    def profiled(schema):
        made = {}
        for name, one in schema["properties"].items():
            made[name] = one["enum"][0] if "enum" in one else [] if one["type"] == "array" else "so"
        return made

    def answer(path, body):
        schema = body["response_format"]["json_schema"]
        return model_server.says(json.dumps(ANSWERS.get(schema["name"]) or profiled(schema["schema"])))

    model_server.answer = answer
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MODEL_URL", model_server.url)

    def make(page):
        (text,) = [one for one in parts(page, "yaml") if one.startswith("# llm.yaml")]
        Path("llm.yaml").write_text(text)
        return yaml.safe_load(text)

    return make


@pytest.mark.parametrize("page", PAGES)
def test_configs_are_read(here, page):
    for tool in set(here(page)) & set(members("easyrec.llm.tools")):
        load_llm("llm.yaml", tool)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_programs_and_commands_run_one_after_another(here, page, capsys):
    here(page)
    blocks = re.findall(r"^```(python|bash)\n(.*?)^```", PAGES[page], re.MULTILINE | re.DOTALL)
    assert len(blocks) > 1
    for kind, text in blocks:
        if kind == "python" and "trl" not in text:
            exec(compile(text, f"{page}.md", "exec"), {})
        for line in text.splitlines() if kind == "bash" else ():
            assert main(shlex.split(line)[1:]) == 0, (line, capsys.readouterr().err)


@pytest.mark.parametrize(
    ("page", "tool"),
    [
        ("llm_knowledge", profile),
        ("llm_knowledge", augment),
        ("llm_knowledge", explain),
        ("llm_ranker", rerank),
        ("llm_ranker", instruct),
    ],
)
def test_every_key_is_described(page, tool):
    rows = re.findall(r"^\| (`.*?) \|", PAGES[page], re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} >= set(tool.Config.model_fields)


def test_the_overview_names_every_tool_and_its_page():
    rows = dict(re.findall(r"^\| `(\w+)` \|.*\((llm_\w+\.md)[#)]", PAGES["llm_tools"], re.MULTILINE))
    assert set(rows) == set(members("easyrec.llm.tools"))
    assert all((GUIDE / page).exists() for page in rows.values())
