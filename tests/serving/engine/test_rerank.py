"""Diversity, slots, caps and exploration, each beside a plain formulation of the same."""

import os

import numpy as np
import pytest

from serving.engine import rerank
from serving.engine.ask import Ask, Question
from serving.engine.merge import Candidates
from serving.engine.rerank import relevance
from serving.engine.rerank.dpp import Config as DPP
from serving.engine.rerank.epsilon import Config as Epsilon
from serving.engine.rerank.frequency_cap import Config as Cap
from serving.engine.rerank.linucb import Config as LinUCB
from serving.engine.rerank.mmr import Config as MMR
from serving.engine.rerank.slots import Config as Slots
from serving.engine.rerank.thompson import Config as Thompson

COUNT = 40


@pytest.fixture
def candidates():
    random = np.random.default_rng(3)
    rows = random.permutation(120)[:COUNT]
    scores = np.sort(random.random(COUNT))[::-1]
    return Candidates(rows, random.integers(1, 4, COUNT), scores)


def reranked(world, rows, config, candidates, count=10, seed=0, request="r"):
    stage = rerank.build(config, world, rows, {"a": 0, "b": 1})
    ask = Ask(Question("feed", "u", request_id=request, seed=seed), world, rows, 1e18)
    got = stage.rerank(ask, candidates, count)
    assert sorted(got.rows.tolist()) == sorted(candidates.rows.tolist())
    return got


@pytest.mark.parametrize(
    "config",
    [
        MMR(by="cate"),
        DPP(by=["cate", "brand"]),
        Cap(by="brand"),
        Epsilon(),
        Thompson(),
        LinUCB(features=["score"]),
        Slots(slots=[{"positions": [0], "source": "a"}]),
    ],
    ids=lambda c: c.type,
)
@pytest.mark.parametrize("many", [0, 1, 5])
def test_every_stage_takes_few_candidates(world, rows, candidates, config, many):
    assert len(reranked(world, rows, config, candidates.take(np.arange(many)))) == many


def test_mmr_is_the_greedy_of_its_formula(world, rows, candidates):
    got = reranked(world, rows, MMR.model_validate({"by": ["cate", "brand"], "lambda": 0.6}), candidates)
    good, cates, brands = relevance(candidates.scores), rows.groups("cate").first, rows.groups("brand").first

    def alike(a, b):
        return 0.5 * (cates[a] == cates[b]) + 0.5 * (brands[a] == brands[b])

    chosen, left = [], list(range(COUNT))
    for _ in range(10):
        value = {
            i: 0.6 * good[i] - 0.4 * max((alike(candidates.rows[i], candidates.rows[j]) for j in chosen), default=0.0)
            for i in left
        }
        best = max(left, key=lambda i: (round(value[i], 12), -i))
        chosen.append(best)
        left.remove(best)
    assert got.rows[:10].tolist() == candidates.rows[chosen].tolist()
    assert got.rows[10:].tolist() == candidates.rows[left].tolist()


def test_mmr_with_relevance_alone_keeps_the_order(world, rows, candidates):
    got = reranked(world, rows, MMR.model_validate({"by": "cate", "lambda": 1.0}), candidates)
    assert got.rows.tolist() == candidates.rows.tolist()


def test_dpp_enlarges_the_determinant_the_most(world, rows, candidates):
    few = candidates.take(np.arange(12))
    config = DPP(by=["cate", "brand"], quality=1.5, alike=0.8)
    got = reranked(world, rows, config, few, count=5)
    quality = np.exp(0.75 * relevance(few.scores))
    codes = np.stack([rows.groups(name).first for name in ("cate", "brand")])[:, few.rows]
    similarity = 0.8 * (codes[:, :, None] == codes[:, None, :]).mean(axis=0)
    np.fill_diagonal(similarity, 1.0)
    kernel = quality[:, None] * quality[None, :] * similarity
    chosen = []
    for _ in range(5):
        left = [i for i in range(12) if i not in chosen]
        chosen.append(max(left, key=lambda i: np.linalg.det(kernel[np.ix_([*chosen, i], [*chosen, i])])))
    assert got.rows[:5].tolist() == few.rows[chosen].tolist()


def test_slots_move_the_best_item_of_the_kind(world, rows, candidates):
    config = Slots(
        slots=[
            {"positions": [2, 6], "source": "a"},
            {"positions": [4], "only": {"cate": ["c3"]}},
            {"positions": [0], "keep": "price > 1000"},
        ]
    )
    got = reranked(world, rows, config, candidates)
    assert got.sources[2] & 1
    assert got.sources[6] & 1
    assert rows.groups("cate").values[rows.groups("cate").first[got.rows[4]]] == "c3"
    firsts = [row for row, bits in zip(candidates.rows.tolist(), candidates.sources.tolist(), strict=True) if bits & 1]
    assert got.rows[2] == firsts[0]
    rest = [row for place, row in enumerate(got.rows.tolist()) if place not in (2, 4, 6)]
    assert rest == [row for row in candidates.rows.tolist() if row in rest]  # the others keep their order


@pytest.mark.parametrize("window", [None, 4])
def test_a_cap_holds_in_every_window(world, rows, candidates, window):
    got = reranked(world, rows, Cap(by="brand", most=1, window=window), candidates, count=8)
    brands = rows.groups("brand").first[got.rows[:8]]
    for start in range(8):
        part = brands[max(0, start + 1 - (window or 8)) : start + 1]
        assert len(set(part.tolist())) == len(part)


def test_items_that_were_shown_often_come_last(world, rows, candidates):
    tired = int(candidates.rows[0])
    for _ in range(3):
        world.history.show("u", rows.keys_of(np.array([tired])), Question("", "u").time)
    got = reranked(world, rows, Cap(shown=3), candidates)
    assert got.rows[-1] == tired


def test_epsilon_says_how_likely_each_item_stood_there(world, rows, candidates):
    few = candidates.take(np.arange(5))
    config, runs = Epsilon(share=0.4), 1500
    first, second, told = np.zeros(5), {}, {}
    place = {row: n for n, row in enumerate(few.rows.tolist())}
    for run in range(runs):
        got = reranked(world, rows, config, few, count=2, request=f"r{run}")
        a, b = (place[row] for row in got.rows[:2].tolist())
        first[a] += 1
        second[a, b] = second.get((a, b), 0) + 1
        told.setdefault(("first", a), got.propensity[0])
        told.setdefault((a, b), got.propensity[1])
        assert told["first", a] == got.propensity[0]
    for item in range(5):
        expected = 0.4 / 5 + 0.6 * (item == 0)
        assert told["first", item] == pytest.approx(expected)
        assert first[item] / runs == pytest.approx(expected, abs=4 * np.sqrt(expected / runs))
    for (a, b), count in second.items():
        if first[a] > 200:
            expected = 0.4 / 4 + 0.6 * (b == (1 if a == 0 else 0))
            assert told[a, b] == pytest.approx(expected)
            assert count / first[a] == pytest.approx(expected, abs=4.5 * np.sqrt(expected / first[a]))


def test_the_same_request_explores_alike(world, rows, candidates):
    one, two = (reranked(world, rows, Epsilon(share=0.9), candidates) for _ in range(2))
    other = reranked(world, rows, Epsilon(share=0.9), candidates, seed=1)
    assert one.rows.tolist() == two.rows.tolist() != other.rows.tolist()


def test_thompson_tries_what_is_little_known_and_says_how_likely(world, rows, candidates):
    known, unknown = int(candidates.rows[0]), int(candidates.rows[1])
    world.live.shown[known], world.live.taken[known] = 10_000.0, 100.0
    pair = Candidates(np.array([known, unknown]), np.ones(2, np.int64), np.array([0.01, 0.01]))
    config, runs = Thompson(prior=50, draws=400), 150
    wins, told = 0, []
    for run in range(runs):
        got = reranked(world, rows, config, pair, request=f"r{run}")
        wins += got.rows[0] == unknown
        told.append(got.propensity[0] if got.rows[0] == unknown else 1.0 - got.propensity[0])
    assert 0.1 < wins / runs < 0.9
    assert np.mean(told) == pytest.approx(wins / runs, abs=0.12)


def test_linucb_learns_the_ridge_solution(world, rows, candidates):
    stage = rerank.build(LinUCB(features=["score", "price / 17"], alpha=0.0, ridge=2.0), world, rows, {})
    random, seen, rewards = np.random.default_rng(0), [], []
    for turn in range(40):
        ask = Ask(Question("feed", "u", request_id=f"r{turn}"), world, rows, 1e18)
        shown = candidates.take(random.permutation(COUNT)[:5])
        keys = rows.keys_of(shown.rows)
        stage.shown(ask, shown, keys)
        features = np.column_stack([np.ones(5), shown.scores, rows.numbers("price")[shown.rows] / 17])
        clicks = (features[:, 2] > 0.5).astype(float)
        for key, click in zip(keys, clicks.tolist(), strict=True):
            if click:
                stage.happened(f"r{turn}", key, 1.0)
        seen.append(features)
        rewards.append(clicks)
    x, y = np.concatenate(seen), np.concatenate(rewards)
    expected = np.linalg.solve(x.T @ x + 2.0 * np.eye(3), x.T @ y)
    np.testing.assert_allclose(stage.memory.solved()[0], expected, rtol=1e-9)
    got = reranked(world, rows, LinUCB(features=["score", "price / 17"], alpha=0.0, ridge=2.0), candidates)
    value = np.column_stack([np.ones(COUNT), candidates.scores, rows.numbers("price")[candidates.rows] / 17]) @ expected
    assert got.rows.tolist() == candidates.rows[np.argsort(-value, kind="stable")].tolist()


def test_processes_share_what_linucb_learned(tmp_path, monkeypatch):
    from serving.engine.rerank import linucb

    monkeypatch.setattr(linucb, "SHARE_S", -1.0)
    one, two = (linucb.Learned(["score"], 2, 1.0, str(tmp_path)) for _ in range(2))
    one.show("r", ["a"], np.array([[1.0, 0.5]]))
    one.reward("r", "a", 1.0)
    one.share()
    two.share()
    np.testing.assert_allclose(one.solved()[0], two.solved()[0])
    assert np.abs(one.solved()[0]).sum() > 0
    (tmp_path / one._file.replace(one._file[-12:-4], "damaged0")).write_bytes(b"no array")
    two.share()
    np.testing.assert_allclose(one.solved()[0], two.solved()[0])
    later = linucb.Learned(["score"], 2, 1.0, str(tmp_path))
    np.testing.assert_allclose(later.solved()[0], one.solved()[0])


@pytest.mark.parametrize("left", ["nothing", "files", "writing"])
def test_files_of_ended_processes_become_one_and_count_once(tmp_path, monkeypatch, left):
    from serving.engine.rerank import linucb

    monkeypatch.setattr(linucb, "SHARE_S", -1.0)
    features, expected, files = np.array([[1.0, 0.5], [1.0, -0.2]]), np.zeros((2, 2)), []
    ended = 1 << 23  # above what a system gives: neither a process nor a thread of now has it
    for _ in range(5):
        with monkeypatch.context() as was:
            was.setattr(linucb.os, "getpid", lambda: ended)
            one = linucb.Learned(["score"], 2, 1.0, str(tmp_path))
        one.show("r", ["a", "b"], features)
        one._write(tmp_path, frozenset())
        expected += features.T @ features
        files.append(tmp_path / one._file)
    contents = {path: path.read_bytes() for path in files if path.exists()}
    if left == "writing":
        (tmp_path / f".{one._file}.writing").write_bytes(b"cut")
    seen = linucb.Learned(["score"], 2, 1.0, str(tmp_path))
    np.testing.assert_allclose(seen._others[:, :2], expected)
    if left == "files":  # as if it had been killed before it removed them
        for path, content in contents.items():
            path.write_bytes(content)
    again = linucb.Learned(["score"], 2, 1.0, str(tmp_path))
    np.testing.assert_allclose(again._others[:, :2], expected)
    assert [path.name for path in tmp_path.iterdir() if path.name != ".lock"] == [f"{again._print}-merged.npz"]
    other = linucb.Learned(["price"], 2, 1.0, str(tmp_path))
    assert not other._others.any()


def test_a_process_whose_file_was_merged_goes_on_without_counting_twice(tmp_path, monkeypatch):
    from serving.engine.rerank import linucb

    monkeypatch.setattr(linucb, "SHARE_S", -1.0)
    features = np.array([[1.0, 0.5]])
    one, two = (linucb.Learned(["score"], 2, 1.0, str(tmp_path)) for _ in range(2))
    one.show("r", ["a"], features)
    one.share()
    os.utime(tmp_path / one._file, (0, 0))  # not heard of for a day
    two.share()
    one.show("s", ["a"], features)
    for known in (one, two, one, two):
        known.share()
    for known in (one, two):
        np.testing.assert_allclose((known._own + known._others)[:, :2], 2 * features.T @ features)


def test_propensities_multiply(world, rows, candidates):
    twice = reranked(world, rows, Epsilon(share=0.5), candidates)
    again = reranked(world, rows, Epsilon(share=0.5), twice)
    once = dict(zip(twice.rows.tolist(), twice.propensity.tolist(), strict=True))
    assert all(p <= once[row] + 1e-12 for row, p in zip(again.rows.tolist(), again.propensity.tolist(), strict=True))
