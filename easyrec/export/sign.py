"""Signs bundles and deltas: whoever has the key vouches for the manifest, and so for every byte."""

from __future__ import annotations

import base64
import os
import secrets
from pathlib import Path
from typing import Any, ClassVar

from easyrec.durable import sync
from easyrec.errors import BundleError, ConfigError, RunError
from easyrec.export.bundle import MANIFEST, open_sealed
from easyrec.export.delta import RESULT
from easyrec.export.manifest import DeltaManifest, Manifest, StatisticManifest
from easyrec.export.strict_json import dump, read_json
from easyrec.export.trust import SIGNATURES, KeySignature, Secret, SignatureFile, Trust, ed25519, read_key

KINDS: dict[str, Any] = {
    kind.model_fields["format"].default: kind for kind in (Manifest, DeltaManifest, StatisticManifest)
}


class SigningKey(Secret):
    """A key that signs: the private half of an ed25519 pair, or a secret."""

    private: str | None = None
    """A PEM file with an ed25519 private key, without a password."""

    FILES: ClassVar = ("private", "secret_file")

    def sign(self, text: bytes) -> KeySignature:
        """The signature over a text.

        Raises:
            ConfigError: The key cannot be read.
            MissingExtra: ed25519 needs a package that is not installed.
        """
        raw = self.mac(text) if self.private is None else _private(self.private).sign(text)
        return KeySignature(key=self.id, algorithm=self.algorithm, signature=base64.b64encode(raw).decode())


def sign(bundle: str | os.PathLike[str], key: SigningKey) -> Path:
    """Sign a bundle or delta, after all its files were compared with their checksums; other keys' signatures stay.

    The signature of a delta is also one over what comes out of it, so that this can be told from forgeries too.

    Args:
        bundle: It.
        key: Who signs.

    Returns:
        The file of the signatures.

    Raises:
        BundleError: It is damaged, or is no bundle.
        RunError: The disk refuses.
    """
    folder = Path(bundle)
    text = _checked(folder)
    had = SignatureFile.of(folder)
    signatures = [one for one in had.signatures if one.key != key.id] + [key.sign(text)]
    result = [one for one in had.result if one.key != key.id]
    if (folder / RESULT / MANIFEST).is_file():
        result.append(key.sign((folder / RESULT / MANIFEST).read_bytes()))
    return write_signatures(folder, SignatureFile(signatures=signatures, result=result))


def check(bundle: str | os.PathLike[str], trust: Trust) -> str | None:
    """Which trusted key signed a bundle or delta; None: none did, and the trust does not require one.

    Raises:
        BundleError: It is damaged or no bundle, or none whom you trust signed it.
    """
    folder = Path(bundle)
    return trust.signer(folder, _checked(folder))


def write_signatures(folder: Path, signatures: SignatureFile) -> Path:
    """Write `manifest.sig`, whole or not at all.

    Raises:
        RunError: The disk refuses.
    """
    target, written = folder / SIGNATURES, folder.parent / f".{folder.name}.{SIGNATURES}-{secrets.token_hex(4)}"
    try:
        written.write_bytes(dump(signatures.model_dump(mode="json", exclude_defaults=True)))
        sync(written)
        written.replace(target)
        sync(folder)
    except OSError as error:
        written.unlink(missing_ok=True)
        raise RunError(f"{target}: cannot be written: {error.strerror}") from error
    return target


def make_key(output: str | os.PathLike[str]) -> tuple[Path, Path]:
    """Make an ed25519 pair: `<output>.pem`, which its owner alone can read, and `<output>.pub`.

    Raises:
        RunError: One of them exists, or the disk refuses.
        MissingExtra: The package is not installed.
    """
    made = ed25519().Ed25519PrivateKey.generate()
    from cryptography.hazmat.primitives import serialization as form  # noqa: PLC0415 (an extra)

    private = made.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    public = made.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)
    paths = Path(f"{os.fspath(output)}.pem"), Path(f"{os.fspath(output)}.pub")
    try:
        paths[0].parent.mkdir(parents=True, exist_ok=True)
        for path, text, mode in zip(paths, (private, public), (0o600, 0o644), strict=True):
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
                file.write(text)
    except FileExistsError as error:
        raise RunError(f"{error.filename} exists: a key is never written over") from None
    except OSError as error:
        raise RunError(f"{error.filename}: cannot be written: {error.strerror}") from error
    return paths


def _checked(folder: Path) -> bytes:
    """The manifest of a folder whose files are those that it lists."""
    if not (folder / MANIFEST).is_file():
        raise BundleError(f"{folder}: holds no {MANIFEST}, so it is no bundle and no delta")
    data = read_json(folder / MANIFEST)
    kind = KINDS.get(str(data.get("format"))) if isinstance(data, dict) else None
    if kind is None:
        raise BundleError(f"{folder / MANIFEST}: is not the manifest of a bundle or delta")
    text = (folder / MANIFEST).read_bytes()
    open_sealed(folder, kind)
    return text


def _private(path: str) -> Any:
    kind = ed25519().Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415 (an extra)

    try:
        key = load_pem_private_key(read_key(path), password=None)
    except (ValueError, TypeError):  # TypeError: it has a password
        raise ConfigError(f"{path}: is no private key in PEM without a password") from None
    if not isinstance(key, kind):
        raise ConfigError(f"{path}: is no ed25519 key")
    return key
