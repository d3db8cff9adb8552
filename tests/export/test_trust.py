"""Signatures: who signed counts, over every byte, and for what deltas make too."""

import hashlib
import json
import shutil

import numpy as np
import pytest

from easyrec.cli import main
from easyrec.errors import BundleError, ConfigError, RunError
from easyrec.export.bundle import BESIDE, CHECKSUM, MANIFEST, Bundle, write_bundle
from easyrec.export.delta import apply_delta, make_delta
from easyrec.export.manifest import Manifest
from easyrec.export.sign import SigningKey, check, make_key, sign
from easyrec.export.trust import SIGNATURES, SignatureFile, Trust

pytest.importorskip("cryptography", reason="needs cryptography, as the extra 'trust' brings it")
SECRET = "a secret of the tests, long enough"
MINIMAL = {
    "name": "toy",
    "created": "2026-01-01T00:00:00Z",
    "config": {},
    "fingerprint": "0" * 64,
    "features": [],
    "embeddings": {"tables": [{"rows": 50}]},
    "signature": {"inputs": [], "outputs": []},
    "scoring": [],
    "runtimes": {"torch_export": {"folder": "program", "tolerance": {"fp32": 1e-6}}},
    "runtime": "torch_export",
    "warmup": {"rows": 1},
    "versions": {},
}


def write(path, seed=0):
    table = np.random.default_rng(0).random((50, 4), dtype=np.float32)
    table[:seed] += 1
    with write_bundle(path) as draft:
        np.save(draft.folder("tables") / "0.npy", table)
        (draft.folder("program") / "weights").write_bytes(bytes([seed]) * 10)
        draft.manifest = Manifest(**MINIMAL)
    return path


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """Folder with the pairs `old` and `new`."""
    folder = tmp_path_factory.mktemp("keys")
    for name in ("old", "new"):
        make_key(folder / name)
    return folder


def signing(keys, name):
    return SigningKey(private=str(keys / f"{name}.pem"))


def trusting(keys, *names, **options):
    return Trust(keys=[{"public": str(keys / f"{name}.pub")} for name in names], **options)


def rewrite(bundle, change):
    """Change the manifest and its checksum, as who can write the folder would."""
    data = json.loads((bundle / MANIFEST).read_bytes())
    change(data)
    text = json.dumps(data).encode()
    (bundle / MANIFEST).write_bytes(text)
    (bundle / CHECKSUM).write_text(f"{hashlib.sha256(text).hexdigest()}  {MANIFEST}\n")


def rename(data):
    data["name"] = "forged"


def test_a_manifest_holds_the_checksum_of_every_file_but_those_beside_it(tmp_path, keys):
    bundle, newer = write(tmp_path / "a"), write(tmp_path / "b", 3)
    made = make_delta(bundle, newer, tmp_path / "delta").path
    for folder in (bundle, made):
        sign(folder, signing(keys, "old"))
        found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
        listed = json.loads((folder / MANIFEST).read_bytes())["files"]
        assert set(listed) == found - set(BESIDE)
        assert all(hashlib.sha256((folder / n).read_bytes()).hexdigest() == e["sha256"] for n, e in listed.items())


def test_a_signed_bundle_names_who_signed_and_can_be_read_without_trust(tmp_path, keys):
    bundle = write(tmp_path / "a")
    sign(bundle, signing(keys, "old"))
    assert Bundle.open(bundle, trust=trusting(keys, "new", "old")).signed_by == "old"
    assert Bundle.open(bundle).signed_by is None


def test_several_keys_may_sign_so_that_one_can_follow_another(tmp_path, keys):
    bundle = write(tmp_path / "a")
    for name in ("old", "new", "new"):
        sign(bundle, signing(keys, name))
    assert [one.key for one in SignatureFile.of(bundle).signatures] == ["old", "new"]
    for name in ("old", "new"):
        assert check(bundle, trusting(keys, name)) == name


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda bundle, keys: (bundle / SIGNATURES).unlink(), "is not signed; wanted is one by 'old'"),
        (lambda bundle, keys: rewrite(bundle, rename), "signature by 'old' is not over this manifest"),
        (
            lambda bundle, keys: [(bundle / SIGNATURES).unlink(), sign(bundle, signing(keys, "new"))],
            "is signed by 'new' alone; wanted is one by 'old'",
        ),
        (
            lambda bundle, keys: [
                (bundle / SIGNATURES).unlink(),
                sign(bundle, SigningKey(id="old", private=str(keys / "new.pem"))),
            ],
            "signature by 'old' is not over this manifest",
        ),
        (
            lambda bundle, keys: [
                (bundle / SIGNATURES).unlink(),
                sign(bundle, SigningKey(id="old", secret=(keys / "old.pub").read_text())),
            ],
            "signature by 'old' is not over this manifest",
        ),
        (
            lambda bundle, keys: (bundle / SIGNATURES).write_text(
                (bundle / SIGNATURES).read_text().replace("ed25519", "hmac-sha256")
            ),
            "signature by 'old' is not over this manifest",
        ),
        (lambda bundle, keys: (bundle / SIGNATURES).write_text("{}"), "is not signed"),
        (lambda bundle, keys: (bundle / SIGNATURES).write_text("[]"), SIGNATURES),
        (lambda bundle, keys: (bundle / "program" / "weights").write_bytes(b"x" * 10), "checksum"),
    ],
    ids=["unsigned", "forged", "another-key", "another-key-of-that-name", "public-key-as-secret", "another-algorithm", "empty", "no-json", "file"],
)  # fmt: skip
def test_what_no_trusted_key_signed_is_refused(tmp_path, keys, spoil, message):
    bundle = write(tmp_path / "a")
    sign(bundle, signing(keys, "old"))
    spoil(bundle, keys)
    with pytest.raises(BundleError, match=message):
        Bundle.open(bundle, verify=False, trust=trusting(keys, "old"))


def test_without_require_it_is_taken_as_if_nobody_had_asked(tmp_path, keys):
    bundle = write(tmp_path / "a")
    assert Bundle.open(bundle, trust=trusting(keys, "old", require=False)).signed_by is None
    sign(bundle, signing(keys, "old"))
    rewrite(bundle, rename)
    assert Bundle.open(bundle, trust=trusting(keys, "old", require=False)).signed_by is None


def test_a_secret_signs_too_and_is_never_told(tmp_path):
    bundle = write(tmp_path / "a")
    sign(bundle, SigningKey(id="ci", secret=SECRET))
    good, bad = (Trust(keys=[{"id": "ci", "secret": text}]) for text in (SECRET, f"{SECRET}, another"))
    assert Bundle.open(bundle, trust=good).signed_by == "ci"
    with pytest.raises(BundleError, match="signature by 'ci'") as caught:
        Bundle.open(bundle, trust=bad)
    assert SECRET not in str(caught.value) + repr(bad) + (bundle / SIGNATURES).read_text()
    (tmp_path / "ci.secret").write_text(f"{SECRET}\n")
    assert check(bundle, Trust(keys=[{"secret_file": str(tmp_path / "ci.secret")}])) == "ci"
    (tmp_path / "short.secret").write_text("short\n")
    with pytest.raises(ConfigError, match="at least 16 bytes"):
        check(bundle, Trust(keys=[{"id": "ci", "secret_file": str(tmp_path / "short.secret")}]))


def test_damage_is_not_signed_and_keys_are_not_written_over(tmp_path, keys):
    bundle = write(tmp_path / "a")
    (bundle / "program" / "weights").write_bytes(b"x" * 10)
    with pytest.raises(BundleError, match="checksum"):
        sign(bundle, signing(keys, "old"))
    with pytest.raises(RunError, match="never written over"):
        make_key(keys / "old")
    assert (keys / "old.pem").stat().st_mode & 0o777 == 0o600
    with pytest.raises(ConfigError, match="no private key"):
        sign(write(tmp_path / "b"), SigningKey(private=str(keys / "old.pub")))


@pytest.fixture
def delta(tmp_path, keys):
    """A signed bundle, a signed delta of it, and what comes out."""
    base, newer = write(tmp_path / "base"), write(tmp_path / "newer", 3)
    sign(base, signing(keys, "old"))
    made = make_delta(base, newer, tmp_path / "delta").path
    sign(made, signing(keys, "old"))
    return base, made, newer


def test_what_a_signed_delta_makes_is_signed(tmp_path, keys, delta):
    base, made, newer = delta
    out = apply_delta(base, made, tmp_path / "out", trust=trusting(keys, "old"))
    assert Bundle.open(out, trust=trusting(keys, "old")).signed_by == "old"
    sign(newer, signing(keys, "old"))  # ed25519 gives one signature for one text
    assert (out / SIGNATURES).read_bytes() == (newer / SIGNATURES).read_bytes()
    again = make_delta(newer, write(tmp_path / "third", 5), tmp_path / "second").path
    sign(again, signing(keys, "old"))
    apply_delta(out, again, tmp_path / "third-out", trust=trusting(keys, "old"))


def test_a_delta_that_none_signed_is_refused_before_anything_is_written(tmp_path, keys, delta):
    base, made, _ = delta
    signatures = (made / SIGNATURES).read_bytes()
    (made / SIGNATURES).unlink()
    with pytest.raises(BundleError, match="delta: is not signed"):
        apply_delta(base, made, tmp_path / "out", trust=trusting(keys, "old"))
    # One whose result nobody vouches for, and one over a base that nobody does.
    kept = json.loads(signatures)
    (made / SIGNATURES).write_text(json.dumps({"signatures": kept["signatures"]}))
    with pytest.raises(BundleError, match="result: is not signed"):
        apply_delta(base, made, tmp_path / "out", trust=trusting(keys, "old"))
    (made / SIGNATURES).write_bytes(signatures)
    (base / SIGNATURES).unlink()
    with pytest.raises(BundleError, match="base: is not signed"):
        apply_delta(base, made, tmp_path / "out", trust=trusting(keys, "old"))
    assert not (tmp_path / "out").exists()
    out = apply_delta(base, made, tmp_path / "out")
    shutil.rmtree(made)
    assert Bundle.open(out, trust=trusting(keys, "old")).signed_by == "old"


def test_a_signature_of_another_delta_does_not_fit(tmp_path, keys, delta):
    base, made, newer = delta
    other = make_delta(newer, base, tmp_path / "back").path
    sign(other, signing(keys, "old"))
    shutil.copy(other / SIGNATURES, made / SIGNATURES)
    with pytest.raises(BundleError, match="not over this manifest"):
        apply_delta(base, made, tmp_path / "out", trust=trusting(keys, "old"))


@pytest.mark.parametrize(
    ("keys_", "message"),
    [
        ([], "at least 1"),
        ([{"id": "a"}], "needs one of public, secret_file, secret"),
        ([{"secret": SECRET}], "a 'secret' needs an 'id'"),
        ([{"public": "x/a.pub"}, {"public": "y/a.pub"}], "two keys are called 'a'"),
        ([{"id": "a", "secret": "short"}], "at least 16"),
    ],
    ids=["none", "empty", "nameless", "twice", "short"],
)
def test_a_trust_that_cannot_work_is_refused(tmp_path, keys_, message, capsys):
    bundle, file = write(tmp_path / "a"), tmp_path / "trust.yaml"
    file.write_text(json.dumps({"trust": {"keys": keys_}}))
    assert main(["sign", "check", "--bundle", str(bundle), "--trust", str(file)]) == 2
    told = capsys.readouterr().err
    assert message in told
    assert SECRET not in told


def test_the_commands(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BUNDLE_SECRET", SECRET)
    write(tmp_path / "bundle")
    assert main(["sign", "key", "--output", "keys/release"]) == 0
    assert main(["sign", "--bundle", "bundle", "--key", "keys/release.pem"]) == 0
    assert main(["sign", "--bundle", "bundle", "--hmac", "${BUNDLE_SECRET}", "--id", "ci"]) == 0
    (tmp_path / "a.yaml").write_text("trust: {keys: [{public: keys/release.pub}]}")
    (tmp_path / "b.yaml").write_text("keys: [{id: ci, secret: '${BUNDLE_SECRET}'}]\nrequire: false")
    for name, key in (("a", "release"), ("b", "ci")):
        capsys.readouterr()
        assert main(["sign", "check", "--bundle", "bundle", "--trust", f"{name}.yaml"]) == 0
        assert capsys.readouterr().out == f"bundle: signed by '{key}'\n"
    (tmp_path / "bundle" / SIGNATURES).unlink()
    assert main(["sign", "check", "--bundle", "bundle", "--trust", "a.yaml"]) == 3
    assert main(["sign", "check", "--bundle", "bundle", "--trust", "b.yaml"]) == 1
    told = "".join(capsys.readouterr())
    assert "wanted is one by 'release'" in told
    assert SECRET not in told
