"""Bundles on a device: the scores of the processor, graphs for sizes that repeat, and a choice of what runs where."""

import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from easyrec.errors import BundleError, ConfigError
from easyrec.export import placed
from serving import Predictor
from serving.gpu.placement import Placement, measure_all, timed_sizes

GPU = torch.cuda.is_available()
NEEDS_GPU = pytest.mark.skipif(not GPU, reason="needs a GPU")
TABLES = {"gpu": {"tables": "gpu"}, "cpu": {"tables": "cpu"}}


def request_of(predictor, rows):
    """The sides of a request for the first row's user and all items."""
    one = rows.slice(0, 1)
    sides = {side: (rows if side == "item" else one).select(names) for side, names in predictor._sides.items()}
    return sides["user"], sides["item"], sides["context"]


def asked(predictor, rows):
    return predictor.predict(*request_of(predictor, rows))["click"]


@pytest.mark.parametrize("tables", TABLES)
@pytest.mark.parametrize("model", ["deepfm", "din", "eta"])
def test_a_device_scores_as_trained(toys, toy_rows, served, model, tables):
    toy, rows = toys(model), toy_rows(37, seed=5)
    here, there = Predictor.load(toy.bundle), served(toy.bundle, **TABLES[tables])
    assert there.device_stats.tables == tables
    assert not there.device_stats.exact  # all sizes are padded
    np.testing.assert_allclose(there.predict_batch(rows)["click"], toy.scores(rows)["click"], atol=1e-5)
    for count in (1, 2, 5, 37, 37):
        some = rows.slice(0, count)
        np.testing.assert_allclose(asked(there, some), asked(here, some), atol=1e-5)
    assert there.predict_batch(rows.slice(0, 0))["click"].shape == (0,)
    given = there.inputs(rows)
    np.testing.assert_allclose(there.program(given)["click"], here.program(given)["click"], atol=1e-5)


@pytest.mark.parametrize("tables", TABLES)
def test_nothing_of_the_processor_is_among_what_a_device_computes(
    toys, toy_rows, served, other_device, tables, monkeypatch
):
    if not GPU:
        monkeypatch.setattr("torch.inference_mode", torch.no_grad)  # the device of the tests knows no such tensors
    toy, rows = toys("din"), toy_rows(9, seed=6)
    there = served(toy.bundle, on=other_device, **TABLES[tables])
    np.testing.assert_allclose(there.predict_batch(rows)["click"], toy.scores(rows)["click"], atol=1e-5)
    here = Predictor.load(toy.bundle, verify=False)
    np.testing.assert_allclose(asked(there, rows), asked(here, rows), atol=1e-5)


def test_a_device_that_scores_otherwise_is_refused_at_loading(toys, served, monkeypatch):
    exact = placed.on_device

    def wrong(program, device):
        found = exact(program, device)
        found.weights = {name: weight * 1.01 for name, weight in found.weights.items()}
        return found

    monkeypatch.setattr("serving.gpu.scorer.on_device", wrong)
    with pytest.raises(BundleError, match="does not score as trained"):
        served(toys("deepfm").bundle)


# ---------------------------------------------------------------------------------------------------- precision


def test_bf16_wants_to_be_told_how_exact_it_must_be(toys, toy_rows, served):
    toy, rows = toys("deepfm"), toy_rows(50, seed=7)
    with pytest.raises(BundleError, match="does not say how exact it is in bf16: export it with 'precision: bf16'"):
        served(toy.bundle, precision="bf16")
    with pytest.raises(BundleError, match="does not score as trained"):
        served(toy.bundle, precision="bf16", tolerance=1e-6)
    low = served(toy.bundle, precision="bf16", tolerance=0.02)
    assert low.tolerance == 0.02
    error = np.abs(low.predict_batch(rows)["click"] - toy.scores(rows)["click"]).max()
    assert 1e-6 < error < 0.02


# ------------------------------------------------------------------------------------------------------- graphs


def test_sizes_that_repeat_get_a_graph(toys, toy_rows, served):
    there = served(toys("deepfm").bundle, sessions=1)
    rows, graphs = toy_rows(33, seed=8), there.device_stats.graphs
    for count in (17, 18, 32):  # one bucket
        asked(there, rows.slice(0, count))
    found = there.device_stats
    assert found.answered == {"eager": 1, "graph": 2}
    assert found.graphs == graphs + 1
    assert not found.eager


def test_a_request_of_the_usual_size_has_its_graph_before_it_comes(make_toy, toy_rows, served, tmp_path):
    toy = make_toy({"type": "fm"}, tmp_path / "b", export={"request": {"items": 20}})
    there = served(toy.bundle)
    asked(there, toy_rows(20))
    assert there.device_stats.answered == {"graph": 1}


@pytest.mark.parametrize(
    ("model", "options", "told"),
    [
        ("twin", {}, "the size of what 'aten._local_scalar_dense.default' gives is decided by the data"),
        ("din", {"graphs": False}, "graphs are off"),
    ],
)
def test_what_runs_without_a_graph_is_told_with_the_reason(toys, toy_rows, served, model, options, told):
    toy, rows = toys(model), toy_rows(20, seed=9)
    there = served(toy.bundle, **options)
    np.testing.assert_allclose(there.predict_batch(rows)["click"], toy.scores(rows)["click"], atol=1e-5)
    asked(there, rows)
    found = there.device_stats
    assert set(found.eager.values()) == {told}
    assert found.answered == {"eager": 2}
    assert not found.graphs


def test_larger_requests_than_there_are_graphs_for_run_without(toys, toy_rows, served):
    there, rows = served(toys("deepfm").bundle, graph_rows=8), toy_rows(9)
    for _ in range(3):
        asked(there, rows)
    assert there.device_stats.answered == {"eager": 3}


@NEEDS_GPU
def test_a_gpu_replays_graphs(toys, toy_rows, served):
    there, rows = served(toys("din").bundle, tables="gpu"), toy_rows(64, seed=3)
    first, again = asked(there, rows), [asked(there, rows) for _ in range(5)]
    for scores in again:
        np.testing.assert_allclose(scores, first, atol=1e-6)
    found = there.device_stats
    assert found.answered["graph"] >= 4
    assert "NVIDIA" in found.device.upper()
    assert found.table_mb > 0
    assert not found.eager


# ------------------------------------------------------------------------------------------------------ threads


@pytest.mark.parametrize("tables", TABLES)
def test_any_number_of_threads_may_ask(toys, toy_rows, served, tables):
    toy = toys("din")
    here, there = Predictor.load(toy.bundle), served(toy.bundle, sessions=3, **TABLES[tables])
    requests = [toy_rows(count, seed=count) for count in (3, 33, 40, 47, 55, 60)]  # most are of one bucket
    expected = [asked(here, rows) for rows in requests]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # threads get into each other's way often
    try:
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda k: asked(there, requests[k % 6]), range(120)))
    finally:
        sys.setswitchinterval(interval)
    for k, scores in enumerate(found):
        np.testing.assert_allclose(scores, expected[k % 6], atol=1e-5)
    assert sum(there.device_stats.answered.values()) == 120


# ---------------------------------------------------------------------------------------------------- placement


def test_each_size_goes_the_fastest_way(toys, toy_rows, served):
    there = served(toys("deepfm").bundle, dense="auto", tables="auto", sessions=1)
    found = there.device_stats
    for program, times in found.milliseconds.items():
        assert {1, 4, 16, 64, 256} <= {*times}
        for rows, ways in times.items():
            taken = [way for way in ways if way == "cpu" or ("there" in way) == (found.tables == "gpu")]
            assert found.placement[program][rows] == min(taken, key=ways.__getitem__)
    asked(there, toy_rows(3))
    way = found.placement["requests"][4]
    assert (there.device_stats.answered.get("cpu") == 1) is (way == "cpu")


def test_rows_go_the_way_of_the_nearest_size_that_was_timed():
    placement = Placement("gpu", chosen={1: "cpu", 16: "gpu", 256: "gpu, tables there"})
    assert [placement.of(rows) for rows in (1, 2, 3, 16, 40, 100, 10_000)] == [
        "cpu", "cpu", "cpu", "gpu", "gpu", "gpu, tables there", "gpu, tables there",
    ]  # fmt: skip
    assert Placement("gpu").of(7) == "gpu"


def test_a_processor_that_is_left_behind_is_timed_no_further():
    asked = []

    def calls(size):
        spin = {"cpu": 4000 * size, "gpu": 100}
        return {way: lambda n=n, w=way: (asked.append((size, w)), sum(range(n))) for way, n in spin.items()}

    found = measure_all([1, 4, 16], ["cpu", "gpu"], calls)
    assert set(found[1]) == {"cpu", "gpu"}
    assert set(found[16]) == {"gpu"}
    assert (16, "cpu") not in asked


def test_sizes_that_are_timed_include_the_usual_one():
    assert timed_sizes(200, 16_384) == [1, 4, 16, 64, 256, 1024, 4096]
    assert timed_sizes(2000, 16_384) == [1, 4, 16, 64, 256, 1024, 2048, 4096]
    assert timed_sizes(200, 32) == [1, 4, 16, 32]


def test_tables_that_do_not_fit_stay_with_the_processor(make_toy, toy_rows, served, tmp_path):
    features = [
        {"type": "id", "name": "user_id", "expression": "user:user_id", "hash_bucket_size": 1000},
        {"type": "id", "name": "item_id", "expression": "item:item_id", "hash_bucket_size": 60_000},
    ]
    toy = make_toy({"type": "fm"}, tmp_path / "b", features=features)
    assert served(toy.bundle, memory_mb=1, tables="auto").device_stats.tables == "cpu"
    with pytest.raises(ConfigError, match="the tables take 2 MiB, and 1 MiB may be taken"):
        served(toy.bundle, memory_mb=1, tables="gpu")


# ------------------------------------------------------------------------------------------------------ devices


@pytest.mark.skipif(GPU, reason="needs a machine without a GPU")
def test_a_gpu_that_is_not_there_is_told(toys):
    with pytest.raises(ConfigError, match=r"there is no 'cuda:1': torch .* sees no GPUs here") as told:
        Predictor.load(toys("lr").bundle, device="cuda:1")
    assert told.value.problems[0].where == "device"


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", ""])
def test_a_device_that_is_none_is_told_with_those_that_are(toys, name):
    with pytest.raises(ConfigError, match=rf"must be 'cpu', 'cuda', 'cuda:<number>' or 'auto', but is '{name}'"):
        Predictor.load(toys("lr").bundle, device=name)


@pytest.mark.skipif(GPU, reason="needs a machine without a GPU")
def test_auto_takes_the_processor_where_there_is_no_gpu(toys, toy_rows):
    predictor = Predictor.load(toys("lr").bundle, device="auto")
    assert predictor.device_stats is None
    assert asked(predictor, toy_rows(3)).shape == (3,)


def test_a_closed_predictor_lets_go_of_its_device(toys, served):
    with served(toys("lr").bundle) as there:
        assert there.device_stats is not None
    assert there.device_stats is None
