"""The page about privacy: its config keeps what it says, its command forgets."""

import re
import shlex
import shutil
from pathlib import Path

import yaml

from easyrec.cli import main
from serving.server.request_log import read_log

PAGE = (Path(__file__).parents[3] / "docs" / "guide" / "privacy.md").read_text(encoding="utf-8")
KEY = "a key of the tests, long enough"


def test_the_config_and_the_command(toys, with_app, request_parts, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOG_KEY", KEY)
    shutil.copytree(toys("deepfm").bundle, "bundles/current")
    (config,) = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.M | re.S)
    (command,) = re.findall(r"^easyrec (.*)$", PAGE, re.M)

    async def work(client):
        user, items, context = request_parts
        for number in range(12):
            body = {"user": {**user, "user_id": f"u{number}"}, "items": items, "context": context}
            assert (await client.post("/predict", json=body)).status_code == 200

    config = yaml.safe_load(config.replace("${LOG_KEY}", KEY).replace("0.01", "1.0"))
    with_app(work, **config)
    rows = [row for _, row in read_log(Path("requests"))]
    assert len({row.column("hash:user:user_id")[0].as_py() for row in rows}) == 12
    for name in ("level", "user_id", "click_seq__item_id", "click_seq__cate"):
        assert all(row.column(f"user:{name}")[0].as_py() is None for row in rows), name
    capsys.readouterr()
    assert main(shlex.split(command)) == 0
    assert capsys.readouterr().out.strip() in PAGE
    assert len(list(read_log(Path("requests")))) == 11
