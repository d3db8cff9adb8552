import hashlib
import json
import os
import subprocess

import pytest

from easyrec.errors import BundleError, RunError
from easyrec.export.bundle import CHECKSUM, MANIFEST, Bundle, write_bundle
from easyrec.export.manifest import FORMAT_VERSION, Manifest

MINIMAL = {
    "name": "toy",
    "created": "2026-01-01T00:00:00Z",
    "config": {"secret": "${KEY}"},
    "fingerprint": "0" * 64,
    "features": [],
    "embeddings": {},
    "signature": {"inputs": [], "outputs": []},
    "scoring": [],
    "runtimes": {"torch_export": {"folder": "program", "tolerance": {"fp32": 1e-6}}},
    "runtime": "torch_export",
    "warmup": {"rows": 1},
    "versions": {"torch": "2.13.0"},
}
FILES = {
    "generator/plan.json": b"{}",
    "program/weights.safetensors": b"w" * 1000,
    "tables/价 格.npy": b"\x00" * 3_000_000,
}


def write(path, **options):
    with write_bundle(path, **options) as draft:
        for name, content in FILES.items():
            draft.folder(name.partition("/")[0])
            (draft.path / name).write_bytes(content)
        draft.manifest = Manifest(**MINIMAL)


@pytest.fixture
def bundle(tmp_path):
    write(tmp_path / "bundle")
    return tmp_path / "bundle"


def rewrite_manifest(bundle, change):
    """Change the manifest and its checksum, as an attacker or another version would."""
    data = json.loads((bundle / MANIFEST).read_bytes())
    change(data)
    text = json.dumps(data).encode()
    (bundle / MANIFEST).write_bytes(text)
    (bundle / CHECKSUM).write_text(f"{hashlib.sha256(text).hexdigest()}  {MANIFEST}\n")


def test_what_is_written_is_read(bundle):
    read = Bundle.open(bundle)
    assert read.manifest.name == "toy"
    assert read.manifest.config == {"secret": "${KEY}"}
    assert set(read.manifest.files) == set(FILES)
    assert read.file("generator/plan.json").read_bytes() == b"{}"
    assert read.folder("tables") == bundle / "tables"
    with pytest.raises(BundleError, match="no file 'other'"):
        read.file("other")
    with pytest.raises(BundleError, match="no file in 'native/'"):
        read.folder("native")


def test_sha256sum_verifies_the_manifest(bundle):
    subprocess.run(["sha256sum", "--check", "--strict", CHECKSUM], cwd=bundle, check=True, capture_output=True)


@pytest.mark.parametrize("name", [*FILES, MANIFEST, CHECKSUM])
@pytest.mark.parametrize("position", [0.0, 0.5, 1.0], ids=["first", "middle", "last"])
def test_a_flipped_bit_is_refused(bundle, name, position):
    data = bytearray((bundle / name).read_bytes())
    data[int(position * (len(data) - 1))] ^= 1
    (bundle / name).write_bytes(data)
    with pytest.raises(BundleError) as caught:
        Bundle.open(bundle)
    assert name in str(caught.value)
    assert caught.value.exit_code == 3


def test_every_single_byte_of_the_manifest_counts(bundle):
    original = (bundle / MANIFEST).read_bytes()
    for position in range(0, len(original), 7):
        data = bytearray(original)
        data[position] ^= 0x20
        (bundle / MANIFEST).write_bytes(data)
        with pytest.raises(BundleError):
            Bundle.open(bundle)


@pytest.mark.parametrize("name", [*FILES, MANIFEST, CHECKSUM])
@pytest.mark.parametrize("damage", ["truncated", "longer", "empty", "missing", "link", "fifo", "folder"])
def test_a_file_that_is_not_the_one_written_is_refused(bundle, tmp_path, name, damage):
    path = bundle / name
    content = path.read_bytes()
    path.unlink()
    if damage == "link":
        (tmp_path / "outside").write_bytes(content)
        path.symlink_to(tmp_path / "outside")
    elif damage == "fifo":
        os.mkfifo(path)
    elif damage == "folder":
        path.mkdir()
    elif damage != "missing":
        path.write_bytes({"truncated": content[:-1], "longer": content + b" ", "empty": b""}[damage])
    with pytest.raises(BundleError):
        Bundle.open(bundle, verify=False)


def test_a_linked_folder_is_refused(bundle, tmp_path):
    (bundle / "tables").rename(tmp_path / "tables")
    (bundle / "tables").symlink_to(tmp_path / "tables")
    with pytest.raises(BundleError, match="'tables' is a link"):
        Bundle.open(bundle)


def test_the_bundle_itself_may_be_reached_by_a_link(bundle, tmp_path):
    (tmp_path / "current").symlink_to(bundle)
    assert Bundle.open(tmp_path / "current").manifest.name == "toy"


def test_an_unlisted_file_is_refused(bundle):
    (bundle / "generator" / "more.json").write_bytes(b"{}")
    with pytest.raises(BundleError, match=r"'generator/more.json' is not listed"):
        Bundle.open(bundle)


@pytest.mark.parametrize(
    "name",
    [
        "../outside",
        "/etc/passwd",
        "a/../../outside",
        "a//b",
        "./a",
        "a\\..\\b",
        "C:a",
        "",
        "a\nb",
        "x" * 5000,
        MANIFEST,
    ],
)
def test_a_path_that_leaves_the_bundle_is_refused(bundle, name):
    (bundle.parent / "outside").write_bytes(b"secret")
    rewrite_manifest(bundle, lambda m: m["files"].update({name: {"sha256": "0" * 64, "bytes": 6}}))
    with pytest.raises(BundleError, match="no path inside a bundle"):
        Bundle.open(bundle)


def test_a_newer_format_says_what_to_upgrade(bundle):
    rewrite_manifest(bundle, lambda m: m.update(format_version=FORMAT_VERSION + 1, something_new={}))
    with pytest.raises(
        BundleError, match=rf"format {FORMAT_VERSION + 1}.*up to {FORMAT_VERSION}.*pip install --upgrade"
    ):
        Bundle.open(bundle)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(format="other"), "'format' is not"),
        (lambda m: m.update(extra=1), "extra: unknown key"),
        (lambda m: m.pop("runtimes"), "runtimes: "),
        (lambda m: m.update(runtimes={}), "runtimes: "),
        (lambda m: m["files"]["generator/plan.json"].update(bytes=-1), "files.generator/plan.json.bytes"),
        (lambda m: m["files"]["generator/plan.json"].update(sha256="xyz"), "files.generator/plan.json.sha256"),
    ],
    ids=["format", "unknown-key", "missing-key", "empty", "negative-size", "no-digest"],
)
def test_a_manifest_of_another_form_is_refused(bundle, change, message):
    rewrite_manifest(bundle, change)
    with pytest.raises(BundleError, match=message):
        Bundle.open(bundle)


def test_a_folder_that_is_no_bundle_is_refused(tmp_path):
    with pytest.raises(BundleError, match="no such bundle"):
        Bundle.open(tmp_path / "nothing")
    with pytest.raises(BundleError, match=f"holds no {MANIFEST}"):
        Bundle.open(tmp_path)


def test_without_verification_sizes_still_count_but_contents_do_not(bundle):
    path = bundle / "program" / "weights.safetensors"
    path.write_bytes(b"v" * 1000)
    assert Bundle.open(bundle, verify=False).manifest.name == "toy"
    with pytest.raises(BundleError, match="does not have its checksum"):
        Bundle.open(bundle)


def interrupted(path, error, **options):
    """Write half a bundle, then fail."""
    with write_bundle(path, **options) as draft:
        (draft.folder("program") / "half").write_bytes(b"x")
        raise error


def test_an_error_while_writing_leaves_nothing(tmp_path):
    with pytest.raises(KeyError):
        interrupted(tmp_path / "bundle", KeyError())
    assert list(tmp_path.iterdir()) == []


def test_an_error_while_replacing_leaves_the_old_bundle(bundle):
    before = (bundle / MANIFEST).read_bytes()
    with pytest.raises(KeyError):
        interrupted(bundle, KeyError(), overwrite=True)
    assert Bundle.open(bundle)
    assert (bundle / MANIFEST).read_bytes() == before
    assert [p.name for p in bundle.parent.iterdir()] == ["bundle"]


def test_a_full_disk_is_an_error_that_names_the_bundle(tmp_path):
    with pytest.raises(RunError, match=r"bundle: cannot write .*No space left"):
        interrupted(tmp_path / "bundle", OSError(28, "No space left on device"))
    assert list(tmp_path.iterdir()) == []


def test_an_existing_bundle_is_replaced_only_on_request(bundle):
    with pytest.raises(RunError, match="exists"):
        write(bundle)
    write(bundle, overwrite=True)
    assert Bundle.open(bundle)


def test_what_a_killed_process_left_is_removed(tmp_path):
    for name in (".bundle.writing-0a1b2c3d", ".bundle.replaced-0a1b2c3d"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "half").write_bytes(b"x")
    write(tmp_path / "bundle")
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]


def test_a_bundle_whose_writer_was_killed_between_its_renames_comes_back(bundle):
    bundle.rename(bundle.with_name(".bundle.replaced-0a1b2c3d"))
    bundle.with_name(".bundle.writing-0a1b2c3d").mkdir()
    with pytest.raises(KeyError), write_bundle(bundle, overwrite=True):
        raise KeyError
    assert Bundle.open(bundle)
    assert [p.name for p in bundle.parent.iterdir()] == ["bundle"]


def test_a_writer_between_its_renames_is_left_alone(bundle):
    with write_bundle(bundle, overwrite=True) as draft:
        old = bundle.with_name(draft.path.name.replace(".writing-", ".replaced-"))
        bundle.rename(old)
        with pytest.raises(KeyError), write_bundle(bundle):
            raise KeyError
        assert old.exists()
        assert not bundle.exists()
        old.rename(bundle)
        draft.manifest = Manifest(**MINIMAL)
    assert Bundle.open(bundle)


def test_two_writers_of_one_bundle_do_not_disturb_each_other(tmp_path):
    target = tmp_path / "bundle"
    with write_bundle(target, overwrite=True) as draft:
        (draft.folder("generator") / "plan.json").write_bytes(b"first")
        write(target)
        assert Bundle.open(target).file("generator/plan.json").read_bytes() == b"{}"
        draft.manifest = Manifest(**MINIMAL)
    assert Bundle.open(target).file("generator/plan.json").read_bytes() == b"first"
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]
