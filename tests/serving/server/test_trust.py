"""A server that takes only what a trusted key signed."""

import shutil

import pytest

from easyrec.export.bundle import digest_of
from easyrec.export.delta import make_delta
from easyrec.export.sign import SigningKey, sign
from easyrec.export.trust import SIGNATURES
from serving.server.config import load_server_config
from serving.server.models import DIGITS

ADMIN = {"authorization": "Bearer an admin's token of the tests"}
AUTH = {"admin": ["an admin's token of the tests"]}
SECRET = "a secret of the tests, long enough"
KEY, OTHER = SigningKey(id="release", secret=SECRET), SigningKey(id="stranger", secret=SECRET[::-1])
TRUST = {"keys": [{"id": "release", "secret": SECRET}, {"id": "next", "secret": f"{SECRET}, the next"}]}


@pytest.fixture
def places(copied, toys, other_toy, tmp_path):
    """A signed bundle, and an unsigned delta to another one in a folder of deltas."""
    base = copied(toys("deepfm").bundle, "base")
    sign(base, KEY)
    made = make_delta(base, other_toy.bundle, tmp_path / "deltas" / "1").path
    return base, made, digest_of(other_toy.bundle)


@pytest.fixture
def body(request_parts):
    user, items, context = request_parts
    return {"user": user, "items": items, "context": context}


def served(base, made, **more):
    models = [{"name": "ctr", "bundle": str(base), "deltas": str(made.parent)}]
    return {"models": models, "trust": TRUST, "auth": AUTH, "watch_s": 0, **more}


@pytest.mark.parametrize("signed", [None, OTHER, KEY], ids=["unsigned", "by-a-stranger", "by-a-trusted-key"])
def test_a_delta_is_applied_only_where_a_trusted_key_signed_it(with_app, places, body, signed, capsys, caplog):
    base, made, result = places
    if signed is not None:
        sign(made, signed)

    async def work(client):
        answer = (await client.post("/predict", json=body)).json()
        told = (await client.post("/models/ctr/reload", headers=ADMIN)).json()["versions"][0]
        return answer, told, (await client.get("/metrics")).text

    answer, told, metrics = with_app(work, **served(base, made))
    taken = signed is KEY
    assert (answer["version"] == result[:DIGITS]) == taken
    assert ('result="refused"' in metrics) == (not taken)
    if not taken:
        assert "wanted is one by 'release' or 'next'" in told["error"]
    assert SECRET not in metrics + str(told) + caplog.text + "".join(capsys.readouterr())


def test_what_deltas_made_is_verified_again_where_it_lies(with_app, places, body):
    base, made, result = places
    sign(made, KEY)

    async def forge(client):
        own = client.service.keeper.state / "bundles" / result[:DIGITS]
        assert (own / SIGNATURES).is_file()
        (own / SIGNATURES).unlink()  # as who can write the server's folder could put another bundle there

    with_app(forge, **served(base, made))

    async def work(client):
        return (await client.post("/predict", json=body)).json()["version"], (await client.get("/metrics")).text

    version, metrics = with_app(work, **served(base, made))
    assert version == digest_of(base)[:DIGITS]
    assert 'result="refused"' in metrics


def test_an_unsigned_bundle_is_never_served(with_app, places, body):
    base, made, _ = places
    (base / SIGNATURES).unlink()
    shutil.rmtree(made)

    async def work(client):
        answer = await client.post("/predict", json=body)
        sign(base, KEY)
        await client.post("/models/ctr/reload", headers=ADMIN)
        return answer.status_code, (await client.post("/predict", json=body)).status_code

    assert with_app(work, **served(base, made)) == (503, 200)


def test_errors_of_the_config_do_not_tell_secrets():
    keys = [{"id": "a", "secret": SECRET}, {"id": "a", "secret": SECRET, "public": "x"}]
    with pytest.raises(Exception, match="needs one of") as caught:
        load_server_config({"models": [{"name": "m", "bundle": "b"}], "trust": {"keys": keys}})
    assert SECRET not in str(caught.value)
