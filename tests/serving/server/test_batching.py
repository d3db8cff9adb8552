"""Small requests that are scored together are answered as if they had been alone."""

import asyncio

import numpy as np
import pytest

from serving import Predictor


@pytest.fixture
def bodies(request_parts):
    user, items, context = request_parts
    return [
        {"user": {**user, "user_id": f"u{n}", "level": n % 5}, "items": items[: n % 3 + 1], "context": context}
        for n in range(24)
    ]


def together(with_app, bundle, bodies, **batching):
    async def work(client):
        answers = await asyncio.gather(*(client.post("/predict", json=body) for body in bodies))
        metrics = (await client.get("/metrics")).text.splitlines()
        batches = next(float(x.split()[-1]) for x in metrics if x.startswith("easyrec_batch_rows_count"))
        return answers, batches

    model = {"name": "ctr", "bundle": str(bundle), "batching": {"max_rows": 16, "max_wait_ms": 20, **batching}}
    return with_app(work, models=[model], limits={"deadline_ms": 20_000})


def test_scores_are_those_of_each_request_alone(with_app, toys, bodies):
    answers, batches = together(with_app, toys("deepfm").bundle, bodies)
    with Predictor.load(toys("deepfm").bundle) as predictor:
        expected = [predictor.predict(b["user"], b["items"], b["context"])["click"] for b in bodies]
        tolerance = predictor.manifest.runtimes[predictor.runtime].tolerance["fp32"]
    for answer, scores in zip(answers, expected, strict=True):
        found = np.float32(answer.json()["scores"]["click"])
        assert found.shape == scores.shape
        np.testing.assert_allclose(found, scores, rtol=0, atol=tolerance)
    assert 3 <= batches < 12  # 48 rows in batches of at most 16


def test_one_that_is_refused_spoils_no_other(with_app, toys, bodies):
    bodies[3]["items"] = [{**bodies[3]["items"][0], "price": "dear"}]
    bodies[4]["user"] = {"levl": 1}
    answers, _ = together(with_app, toys("deepfm").bundle, bodies)
    statuses = [answer.status_code for answer in answers]
    assert statuses == [400 if n in (3, 4) else 200 for n in range(24)]
    assert (answers[3].json()["column"], answers[4].json()["column"]) == ("price", "levl")


def test_large_requests_go_alone(with_app, toys, bodies, request_parts):
    large = [{**body, "items": list(request_parts[1]) * 10} for body in bodies[:3]]

    async def work(client):
        return [(await client.post("/predict", json=body)).json() for body in large], (
            await client.get("/metrics")
        ).text

    model = {"name": "ctr", "bundle": str(toys("deepfm").bundle), "batching": {"max_rows": 16}}
    answers, metrics = with_app(work, models=[model])
    assert all(len(answer["scores"]["click"]) == 30 for answer in answers)
    assert "easyrec_batch_rows" not in metrics


def test_a_deadline_is_that_of_its_own_request(with_app, toys, bodies):
    async def work(client):
        short, *others = bodies[:4]
        return await asyncio.gather(
            client.post("/predict", json=short, headers={"x-deadline-ms": "5"}),
            *(client.post("/predict", json=body) for body in others),
        )

    model = {"name": "ctr", "bundle": str(toys("deepfm").bundle), "batching": {"max_rows": 64, "max_wait_ms": 100}}
    late, *others = with_app(work, models=[model], limits={"deadline_ms": 20_000})
    assert (late.status_code, late.json()["reason"]) == (504, "deadline_score")
    assert [answer.status_code for answer in others] == [200, 200, 200]
