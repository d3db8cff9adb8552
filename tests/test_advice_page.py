"""The page about advice lists every rule and every option, and its commands do what it says."""

import argparse
import re
from pathlib import Path

import pytest

from easyrec.cli import main
from easyrec.commands import advise as command
from easyrec.tune.advise.api import rules

PAGE = (Path(__file__).parents[1] / "docs" / "guide" / "advice.md").read_text(encoding="utf-8")


def test_the_table_has_every_rule_with_the_first_line_of_its_class():
    table = re.search(r"^\| rule \| reads.*?\n\|---.*?\n(.*?)\n\n", PAGE, re.MULTILINE | re.DOTALL)[1]
    lines = {name: type(rule).__doc__.strip().partition("\n")[0].rstrip(".") for name, rule in rules().items()}
    assert table.splitlines() == [f"| `{name}` | {rules()[name].needs} | {line} |" for name, line in lines.items()]


def test_every_option_is_listed():
    parser = argparse.ArgumentParser(add_help=False)
    command.configure(parser)
    shared = {"--config", "-c", "-o", "--override", "--plugin", "--operators"}
    known = {word for action in parser._actions for word in action.option_strings} - shared
    assert set(re.findall(r"^\| `(--\w+)", PAGE, re.MULTILINE)) == known


@pytest.mark.slow
def test_the_commands_run_one_after_the_other_and_tell_what_the_page_tells(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("advised.yaml").write_text(re.search(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)[1])
    told = []
    for line in re.search(r"^```bash\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)[1].splitlines():
        capsys.readouterr()
        words = line.split()[1:]
        assert main([*words, *(["--steps", "0"] if words[0] == "advise" else [])]) == 0, line
        told.append(capsys.readouterr().out)
    assert re.search(r"^```text\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)[1].strip() in told[0]
    assert "small_buckets:brand" in Path("advice.html").read_text()
