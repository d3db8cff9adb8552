import json
import resource

import numpy as np
import pytest
import torch

from easyrec.errors import CheckpointError
from easyrec.train.snapshot import Snapshot, read_folder, write_folder


def snapshot(rows=50):
    generator = torch.Generator().manual_seed(1)
    return Snapshot(
        state={"step": 7, "auc": 0.1 + 0.2, "none": None, "nested": {"list": [1, 2.5]}},
        tensors={"dense": {"mlp.0.weight": torch.randn(3, 4, generator=generator), "count": torch.tensor(5)}},
        arrays={
            "user/id [x] %": np.random.default_rng(0).normal(size=(rows, 8)).astype(np.float32),
            "step": np.array([3], np.int64),
            "empty": np.zeros((0, 4), np.float32),
        },
    )


def test_reads_back_every_bit(tmp_path):
    written = snapshot()
    write_folder(tmp_path / "step-7", written)
    found = read_folder(tmp_path / "step-7")
    assert found.state == written.state
    for name, tensor in written.tensors["dense"].items():
        assert torch.equal(found.tensors["dense"][name], tensor)
    assert found.arrays.keys() == written.arrays.keys()
    for name, array in written.arrays.items():
        assert found.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(found.arrays[name], array)


def test_arrays_are_plain_npy_files(tmp_path):
    write_folder(tmp_path / "c", snapshot())
    (file,) = (tmp_path / "c" / "tables").glob("user*")
    np.testing.assert_array_equal(np.load(file), snapshot().arrays["user/id [x] %"])


def test_transposed_and_strided_arrays_are_written_in_order(tmp_path):
    array = np.arange(24, dtype=np.float32).reshape(4, 6)
    write_folder(tmp_path / "c", Snapshot({}, {}, {"t": array.T, "s": array[:, ::2]}))
    found = read_folder(tmp_path / "c").arrays
    np.testing.assert_array_equal(found["t"], array.T)
    np.testing.assert_array_equal(found["s"], array[:, ::2])


def test_tensors_that_share_memory_are_written_apart(tmp_path):
    whole = torch.arange(6.0)
    write_folder(tmp_path / "c", Snapshot({}, {"dense": {"whole": whole, "part": whole[2:4], "same": whole}}))
    found = read_folder(tmp_path / "c").tensors["dense"]
    assert found["part"].tolist() == [2.0, 3.0]
    assert found["same"].tolist() == whole.tolist()


FILES = ["manifest.json", "state.json", "dense.safetensors", "tables/step.npy"]


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_is_an_error_that_names_the_file(tmp_path, name):
    write_folder(tmp_path / "c", snapshot())
    file = tmp_path / "c" / name
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0x40
    file.write_bytes(data)
    with pytest.raises(CheckpointError, match=name):
        read_folder(tmp_path / "c")


@pytest.mark.parametrize("name", FILES)
def test_a_truncated_file_is_an_error_that_names_the_file(tmp_path, name):
    write_folder(tmp_path / "c", snapshot())
    file = tmp_path / "c" / name
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(CheckpointError, match=name):
        read_folder(tmp_path / "c")


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_an_error_that_names_the_file(tmp_path, name):
    write_folder(tmp_path / "c", snapshot())
    (tmp_path / "c" / name).unlink()
    with pytest.raises(CheckpointError, match=name):
        read_folder(tmp_path / "c")


@pytest.mark.parametrize("manifest", ["[]", '{"format": 1, "files": {"../x": 1, "state.json": 2}}', "{", "1"])
def test_a_strange_manifest_is_an_error(tmp_path, manifest):
    write_folder(tmp_path / "c", snapshot())
    (tmp_path / "c" / "manifest.json").write_text(manifest)
    with pytest.raises(CheckpointError, match=r"manifest\.json"):
        read_folder(tmp_path / "c")


def test_a_newer_format_is_refused(tmp_path):
    write_folder(tmp_path / "c", snapshot())
    file = tmp_path / "c" / "manifest.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "format": 99}))
    with pytest.raises(CheckpointError, match="format 99"):
        read_folder(tmp_path / "c")


@pytest.fixture
def file_limit():
    """Files may not grow beyond 64 KiB: the nearest to a full disk that needs no other disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_no_room_says_how_much_is_needed_and_leaves_nothing(tmp_path, file_limit):
    with pytest.raises(CheckpointError, match=r"needs 3\.2 MB, .* MB are free") as error:
        write_folder(tmp_path / "step-9", snapshot(rows=100_000))
    assert error.value.exit_code == 1
    assert list(tmp_path.iterdir()) == []


def test_no_room_for_little_is_told_in_kilobytes(tmp_path, file_limit):
    with pytest.raises(CheckpointError, match=r"needs 96\.0 kB, "):
        write_folder(tmp_path / "step-9", snapshot(rows=2998))


def test_no_room_leaves_the_former_one_of_the_same_name(tmp_path, file_limit):
    write_folder(tmp_path / "step-9", snapshot())
    with pytest.raises(CheckpointError):
        write_folder(tmp_path / "step-9", snapshot(rows=100_000))
    assert read_folder(tmp_path / "step-9").arrays["step"].tolist() == [3]


def test_a_folder_that_cannot_be_written_to_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="cannot write the checkpoint"):
        write_folder(tmp_path / "file" / "step-1", snapshot())
