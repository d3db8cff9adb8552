import json
import socket

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
        ("models: [{name: ../x, bundle: b}]\n", "must begin with a letter or digit"),
        ("models: [{name: a, bundle: 5}]\n", "must be a path, a URL, or a mapping with a 'type'"),
        ("models: [{name: a, bundle: b, versions: [{bundle: c}]}]\n", "has 'bundle' and 'versions'"),
        ("models: [{name: a, bundle: b, inputs: tensors, unique: item_id}]\n", "there are no columns"),
        ("models: [{name: a, bundle: b}]\nport: 8001\ngrpc: {}\n", "'port' and 'grpc.port' are both 8001"),
        ("models: [{name: a, bundle: b}]\nhost: ''\n", "line 2  host"),
        (
            "models: [{name: a, bundle: b, batching: {max_wait_ms: 50}}]\nlimits: {deadline_ms: 50}\n",
            "'a' may wait 50 ms for a batch",
        ),
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


@pytest.mark.parametrize(
    "section",
    [
        "auth: {tokens: [1234567890123456789]}",
        "auth: {tokens: 1234567890123456789}",
        "trust: {keys: [{id: ci, secret: 1234567890123456789}]}",
        "tls: {certificate: a, key: b, key_password: 1234567890123456789}",
        "request_log: {path: a, hash_key: 1234567890123456789}",
    ],
    ids=["token", "tokens", "secret", "password", "hash key"],
)
def test_a_secret_without_quotes_is_in_no_error(tmp_path, section):
    told = problems(tmp_path, f"models: [{{name: a, bundle: b}}]\n{section}\n")
    assert "must be a" in told
    assert "1234567890123456789" not in told


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("runtime: torch_exprt", "has no runtime 'torch_exprt'; did you mean 'torch_export'?"),
        ("unique: item", "unique: no feature reads 'item' of the item; did you mean 'item_id'?"),
        ("user_cache: {key: item_id}", "user_cache.key: no feature reads 'item_id' of the user"),
    ],
)
def test_what_no_bundle_can_serve_ends_the_command(tmp_path, toys, capsys, more, told):
    file = tmp_path / "serving.yaml"
    file.write_text(f"models: [{{name: a, bundle: {toys('deepfm').bundle}, {more}}}]\n")
    assert main(["serve", "-c", str(file)]) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (
            "tls: {certificate: none.pem, key: none.pem}",
            "tls . certificate\n           none.pem: there is no such file",
        ),
        ("trust: {keys: [{public: none.pub}]}", "none.pub: the key cannot be read"),
    ],
)
def test_a_file_that_is_not_there_is_named(tmp_path, toys, capsys, more, told):
    file = tmp_path / "serving.yaml"
    file.write_text(f"models: [{{name: a, bundle: {toys('deepfm').bundle}}}]\n{more}\n")
    assert main(["serve", "-c", str(file)]) == 2
    assert told in capsys.readouterr().err


def test_a_port_of_grpc_that_is_taken_ends_the_command(tmp_path, toys, capsys):
    pytest.importorskip("grpc", reason="needs the extra 'grpc'")
    file = tmp_path / "serving.yaml"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        file.write_text(f"port: 0\ngrpc: {{port: {port}}}\nmodels: [{{name: a, bundle: {toys('deepfm').bundle}}}]\n")
        assert main(["serve", "-c", str(file)]) == 1
    assert f"cannot listen on 127.0.0.1:{port}" in capsys.readouterr().err


def test_a_run_in_the_place_of_its_bundle_is_told_where_that_is(tmp_path, toys, capsys):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "bundle").symlink_to(toys("deepfm").bundle)
    assert main(["serve", str(tmp_path / "run")]) == 3
    assert f"below it is {tmp_path}/run/bundle" in capsys.readouterr().err


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
