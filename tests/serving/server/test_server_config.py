import json

import pytest

from easyrec.cli import main
from easyrec.errors import ConfigError
from serving.server.config import ServerConfig, load_server_config

SECRET = "a secret that nobody may see"


def problems(tmp_path, text):
    file = tmp_path / "serving.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as error:
        load_server_config(file)
    return str(error.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("models: []\n", "line 1  models"),
        ("models: [{name: ctr, bundle: b}]\nprot: 1\n", "line 2  prot\n           unknown key; did you mean 'port'?"),
        ("models: [{name: ../x, bundle: b}]\n", "models[0] '../x' . name"),
        ("models: [{name: ctr}]\n", "needs either 'bundle' or 'versions'"),
        ("models: [{name: a, bundle: b}, {name: a, bundle: c}]\n", "two models are called 'a'"),
        ("models:\n- {name: a, versions: [{bundle: b, shadow: 1.0}]}\n", "needs a version with a weight"),
        ("models: [{name: a, bundle: b}]\nlimits:\n  queue: -1\n", "line 3  limits . queue"),
        ("models: [{name: a, bundle: b}]\nauth: {tokens: ['${NOT_SET_ANYWHERE}']}\n", "NOT_SET_ANYWHERE"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path, text, told):
    assert told in problems(tmp_path, text)


def test_secrets_are_in_no_error(tmp_path, monkeypatch):
    monkeypatch.setenv("A_TOKEN", SECRET)
    for auth in ("{tokens: '${A_TOKEN}'}", "{tokens: ['${A_TOKEN}', '${A_TOKEN}']}", "{tokens: [['${A_TOKEN}']]}"):
        told = problems(tmp_path, f"models: [{{name: a, bundle: b}}]\nauth: {auth}\n")
        assert SECRET not in told


def test_a_bundle_that_is_not_there_ends_the_command(tmp_path, capsys):
    (tmp_path / "serving.yaml").write_text(f"models: [{{name: a, bundle: {tmp_path}/none}}]\n")
    assert main(["serve", "-c", str(tmp_path / "serving.yaml")]) == 3
    assert "no such bundle" in capsys.readouterr().err
    assert main(["serve", str(tmp_path / "none")]) == 2
    assert main(["serve", "--traceback"]) == 2


def test_further_processes_are_given_the_config_as_it_is():
    secret = "a secret of the tests, long enough"
    config = load_server_config(
        {
            "models": [
                {"name": "a", "bundle": {"type": "object_store", "url": "memory://a", "options": {"key": "x"}}, "deltas": "redis://h/0"},
                {"name": "b", "versions": [{"bundle": "b", "weight": 2}, {"bundle": "c", "canary": {"max_psi": 0.1}}]},
            ],
            "trust": {"keys": [{"public": "keys/x.pub"}, {"id": "ci", "secret": secret}]},
            "request_log": {"path": "log", "personal": ["user_id"], "hash_key": secret},
            "drift": {"sample": 0.5},
        }
    )  # fmt: skip
    assert ServerConfig.model_validate(json.loads(json.dumps(config.model_dump(mode="json")))) == config
