"""Canaries: taken out when they answer unlike the main version or fail, and left alone otherwise."""

import json
import logging
import os

import numpy as np
import pytest

from easyrec.errors import ConfigError
from easyrec.export.bundle import digest_of
from serving.server.canary import POSTED, SIZE, Sample, Trials, apart, spread, together
from serving.server.config import load_server_config
from serving.server.keeper import Keeper
from serving.server.models import DIGITS, Loaded, Models

ADMIN = {"authorization": "Bearer an admin's token of the tests"}
CANARY = {"max_psi": 1.0, "max_errors": 0.1, "min_requests": 12}


@pytest.fixture
def asks(request_parts):
    """Asks `count` times, each time of other items; the versions that answered, and how often with an error."""
    user, items, context = request_parts

    async def ask(client, count, **more):
        seen, random = [], np.random.default_rng(0)
        for number in range(count):
            some = [
                {**items[0], "item_id": f"i{n}", "score": float(random.normal())} for n in random.integers(40, size=5)
            ]
            body = {"user": {**user, "user_id": f"u{number}"}, "items": some, "context": context, **more}
            answer = await client.post("/predict", json=body)
            seen.append(answer.json().get("version", str(answer.status_code)))
        await client.service.aside(client.service.keeper.watch)
        return seen

    return ask


@pytest.fixture(scope="module")
def twin(make_toy, tmp_path_factory):
    """A bundle that answers as `toys("deepfm")` does, and is another one."""
    model = {"type": "deepfm", "hidden": [16, 8], "dropout": 0.5, "batch_norm": True}
    return make_toy(model, tmp_path_factory.mktemp("twin") / "bundle")


@pytest.fixture(scope="module")
def shifted(make_toy, tmp_path_factory):
    """The same model, whose probabilities are far too small."""
    model = {"type": "deepfm", "hidden": [16, 8], "dropout": 0.5, "batch_norm": True}
    platt = {"click": {"method": "platt", "slope": 1.0, "shift": -4.0}}
    data = {"valid": {"type": "parquet", "path": "none.parquet"}}
    return make_toy(model, tmp_path_factory.mktemp("shifted") / "bundle", calibrations=platt, data=data)


def versions(main, canary, **config):
    return [
        {"name": "stable", "bundle": str(main), "weight": 3},
        {"name": "canary", "bundle": str(canary), "weight": 2.9, "canary": {**CANARY, **config}},
    ]


def served(main, canary, **config):
    models = [{"name": "ctr", "versions": versions(main, canary, **config)}]
    return {"models": models, "watch_s": 0, "auth": {"admin": ["an admin's token of the tests"]}}


def test_a_sample_is_uniform_over_all_that_came():
    random, sample = np.random.default_rng(0), Sample(np.random.default_rng(1))
    values = np.arange(50_000, dtype=np.float32)
    for part in np.split(values, np.sort(random.integers(0, len(values), 300))):
        sample.add(part)
    kept = sample.values
    assert (sample.seen, len(kept), len(np.unique(kept))) == (50_000, SIZE, SIZE)
    tenths = np.bincount((kept // 5000).astype(int), minlength=10)
    assert abs(tenths - SIZE / 10).max() < 5 * np.sqrt(SIZE / 10)
    few = Sample(random)
    few.add(values[:7])
    assert few.values.tolist() == [0, 1, 2, 3, 4, 5, 6]


def test_samples_of_one_distribution_are_near_and_of_others_are_not():
    random = np.random.default_rng(0)
    main = random.beta(2, 5, SIZE)
    assert apart(main, random.beta(2, 5, 2000)) < 0.02
    assert apart(main, random.beta(2, 4, 2000)) > 0.05
    assert apart(main, np.full(2000, 0.3)) > 1.0


def test_a_canary_that_answers_otherwise_is_taken_out_and_comes_back_with_a_reload(
    with_app, toys, shifted, asks, caplog
):
    bad = digest_of(shifted.bundle)[:DIGITS]

    async def work(client):
        first = await asks(client, 60)
        then = await asks(client, 15)
        named = await asks(client, 1, version="canary")
        metrics = (await client.get("/metrics")).text
        again = Keeper(client.service.config, type(client.service.models)(client.service.config.models),
                       client.service.metrics, client.service.keeper.state)  # fmt: skip
        again.begin()  # a process that starts now
        out = [version.out for version in again.models.get("ctr").versions]
        again.models.close()
        await client.post("/models/ctr/reload", headers=ADMIN)
        after = await asks(client, 12)
        return first, then, named, metrics, out, after

    with caplog.at_level(logging.WARNING, "serving.server"):
        first, then, named, metrics, out, after = with_app(work, **served(toys("deepfm").bundle, shifted.bundle))
    assert bad in first
    assert bad not in then
    assert named == [bad]  # who names it is answered
    assert f'easyrec_canary_total{{model="ctr",version="{bad}",result="taken_out"}} 1' in metrics
    assert f'version="{bad}",role="out"' in metrics
    assert out == [False, True]
    assert bad in after
    (told,) = [record.told for record in caplog.records if record.getMessage() == "a canary was withdrawn"]
    assert "psi" in told["why"]


def test_a_canary_that_answers_alike_stays(with_app, toys, twin, asks):
    assert digest_of(twin.bundle) != digest_of(toys("deepfm").bundle)

    async def work(client):
        seen = await asks(client, 80)
        return seen, await asks(client, 15), (await client.get("/metrics")).text

    seen, then, metrics = with_app(work, **served(toys("deepfm").bundle, twin.bundle))
    assert digest_of(twin.bundle)[:DIGITS] in seen
    assert digest_of(twin.bundle)[:DIGITS] in then
    assert "easyrec_canary_total" not in metrics


def test_a_new_bundle_of_a_canary_is_rolled_back_to_the_one_before(with_app, toys, twin, shifted, asks, tmp_path):
    main = toys("deepfm").bundle
    good, bad = (digest_of(toy.bundle)[:DIGITS] for toy in (twin, shifted))
    pointer = tmp_path / "canary"
    pointer.write_text(str(twin.bundle))

    async def work(client):
        before = await asks(client, 12)
        pointer.write_text(str(shifted.bundle))
        await client.post("/models/ctr/reload", headers=ADMIN)
        with_it = await asks(client, 60)
        return before, with_it, await asks(client, 15), (await client.get("/metrics")).text

    before, with_it, after, metrics = with_app(work, **served(main, pointer))
    assert good in before
    assert bad in with_it
    assert good in after
    assert bad not in after
    assert f'easyrec_canary_total{{model="ctr",version="{bad}",result="rolled_back"}} 1' in metrics


def test_a_canary_that_fails_where_the_main_version_does_not_is_taken_out(with_app, toys, make_toy, asks, tmp_path):
    features = [
        {"type": "id", "name": "user_id", "expression": "user:user_id", "hash_bucket_size": 1000},
        {"type": "raw", "name": "age", "expression": "user:age", "boundaries": [20, 40]},
    ]
    import pyarrow as pa

    rows = pa.record_batch({"user_id": ["a", "b"], "age": [20.0, 30.0]})
    needs = make_toy({"type": "lr"}, tmp_path / "needs" / "bundle", features=features, rows=rows)
    bad = digest_of(needs.bundle)[:DIGITS]

    async def work(client):
        first = await asks(client, 60)
        return first, await asks(client, 15), (await client.get("/metrics")).text

    first, then, metrics = with_app(work, **served(toys("deepfm").bundle, needs.bundle, max_psi=100.0))
    assert "400" in first
    assert "400" not in then
    assert f'version="{bad}",result="taken_out"' in metrics


def test_errors_of_clients_are_no_errors_of_the_canary(with_app, toys, twin, asks, request_parts):
    user, _, context = request_parts

    async def work(client):
        for _ in range(60):
            await client.post(
                "/predict", json={"user": user, "items": [{"item_id": 1, "nobody": 2}], "context": context}
            )
        await asks(client, 60)
        return (await client.get("/metrics")).text

    assert "easyrec_canary_total" not in with_app(work, **served(toys("deepfm").bundle, twin.bundle))


def test_batches_are_judged_too(with_app, toys, shifted, asks):
    config = served(toys("deepfm").bundle, shifted.bundle)
    config["models"][0]["batching"] = {"max_wait_ms": 0}

    async def work(client):
        await asks(client, 60)
        return (await client.get("/metrics")).text

    assert 'result="taken_out"' in with_app(work, **config)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weight": 3}, "a weight below"),
        ({"shadow": 0.5}, "a shadow answers nobody"),
        ({"canary": {"max_ps": 1}}, "did you mean 'max_psi'"),
    ],
    ids=["weight", "shadow", "typo"],
)
def test_a_canary_that_cannot_be_is_told(change, message):
    main, canary = versions("a", "b")
    with pytest.raises(ConfigError, match=message):
        load_server_config({"models": [{"name": "ctr", "versions": [main, {**canary, **change}]}]})


def shares(values):
    return np.bincount(values.astype(int), minlength=3) / len(values)


def test_samples_of_processes_count_by_what_they_saw():
    random = np.random.default_rng(0)
    many, few = Sample(random), Sample(random)
    many.add(np.zeros(30_000, np.float32))
    few.add(np.ones(10_000, np.float32))
    assert shares(together([(many.seen, many.values), (few.seen, few.values)]))[:2] == pytest.approx(
        [0.75, 0.25], abs=1e-3
    )
    assert len(together([(many.seen, many.values), (few.seen, spread(few.values, POSTED))])) == 4 * POSTED
    assert together([(0, many.values[:0]), (few.seen, few.values)]).tolist() == few.values.tolist()
    assert together([]).size == 0
    assert spread(np.arange(10), 4).tolist() == [0, 2, 5, 7]


class Answered:
    """What two processes see of a canary, each of them too little to judge."""

    def __init__(self, main, canary, **config):
        config = load_server_config({"models": [{"name": "ctr", "versions": versions(main, canary, **config)}]})
        self.models = Models(config.models)
        self.model = self.models.get("ctr")
        for version, bundle in zip(self.model.versions, (main, canary), strict=True):
            version.swap(Loaded(bundle, self.model.config, config.limits))
        self.loaded = [version.current for version in self.model.versions]

    def trials(self, seed, requests, shift, classes=0):
        made, random = Trials(self.models), np.random.default_rng(seed)
        for _ in range(requests):
            for loaded, moved in zip(self.loaded, (0.0, shift), strict=True):
                values = random.random(20) * 0.5 + moved
                if classes:
                    values = np.stack([values, np.full(20, 0.25), np.full(20, 0.2)], axis=1)
                made.answered(self.model, loaded, {"click": values.astype(np.float32)})
        assert list(made.verdicts([{"alive": True, "process": 0, "canaries": {}}])) == []  # another one judges
        return made


@pytest.mark.parametrize(("classes", "what"), [(0, "scores of 'click'"), (3, "classes of 'click'")])
@pytest.mark.parametrize(("shift", "goes"), [(0.4, True), (0.0, False)], ids=["moved", "alike"])
def test_processes_are_judged_together_by_one_of_them(toys, twin, shift, goes, classes, what):
    answered = Answered(toys("deepfm").bundle, twin.bundle)
    try:
        here, there = (answered.trials(seed, 7, shift, classes) for seed in (1, 2))  # of 12 that are wanted
        assert list(here.verdicts()) == []
        left = json.loads(json.dumps(there.state))
        dead = [{"alive": False, "process": os.getpid() + 1, "canaries": left}]
        assert list(here.verdicts(dead)) == []
        verdicts = list(here.verdicts([dead[0] | {"alive": True}]))
        assert [(name, version.config.name) for name, version, _ in verdicts] == ([("ctr", "canary")] if goes else [])
        assert all(what in why for _, _, why in verdicts)
    finally:
        answered.models.close()


def test_scores_of_a_few_answers_among_errors_are_not_compared(toys, twin):
    answered = Answered(toys("deepfm").bundle, twin.bundle)
    try:
        trials = Trials(answered.models)
        for scores in [None] * 20 + [0.1] * 11:
            for loaded, moved in zip(answered.loaded, (0.0, 0.5), strict=True):
                found = None if scores is None else {"click": np.full(5, scores + moved, np.float32)}
                trials.answered(answered.model, loaded, found)
        assert list(trials.verdicts()) == []
        for loaded, moved in zip(answered.loaded, (0.0, 0.5), strict=True):
            trials.answered(answered.model, loaded, {"click": np.full(5, 0.1 + moved, np.float32)})
        assert [version.config.name for _, version, _ in trials.verdicts()] == ["canary"]
    finally:
        answered.models.close()
