"""Whose bundles are taken: signatures over `manifest.json`, which holds the checksum of every other file.

    manifest.sig    `{"signatures": [{"key", "algorithm", "signature"}], "result": [...]}`, beside the manifest

`result` is of deltas: signatures over the manifest of what comes out, which go with it. Knows no torch.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import stat
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, ValidationError, field_validator, model_validator
from typing_extensions import Self

from easyrec.errors import BundleError, ConfigError, MissingExtra
from easyrec.export.strict_json import read_json
from feature_generator.config import StrictModel, worded

SIGNATURES = "manifest.sig"
MAX_BYTES = 1 << 20
NAME = worded(
    r"\A[A-Za-z0-9][A-Za-z0-9_.\-]{0,99}\Z",
    "must begin with a letter or digit and hold letters, digits, '_', '.' and '-' alone, at most 100",
)
KeyId = Annotated[str, NAME]
Algorithm = Literal["ed25519", "hmac-sha256"]
SHORTEST = 16
"""Bytes that a secret has at least."""


class KeySignature(StrictModel):
    """A signature over the exact bytes of a manifest."""

    key: KeyId
    """Who signed."""
    algorithm: Algorithm
    signature: str
    """Base64."""

    def raw(self) -> bytes:
        """Its bytes; none where it is no base64."""
        try:
            return base64.b64decode(self.signature, validate=True)
        except (binascii.Error, ValueError):
            return b""


class SignatureFile(StrictModel):
    """`manifest.sig`."""

    signatures: list[KeySignature] = Field([], max_length=100)
    result: list[KeySignature] = Field([], max_length=100)
    """Of a delta: over the manifest of what comes out."""

    @staticmethod
    def of(folder: Path) -> SignatureFile:
        """That of a bundle or delta; an empty one where there is none.

        Raises:
            BundleError: It cannot be read.
        """
        path = folder / SIGNATURES
        try:
            if not stat.S_ISREG(path.lstat().st_mode):
                raise BundleError(
                    f"{folder}: '{SIGNATURES}' is a link, folder or device; a bundle holds plain files only"
                )
        except OSError:
            return SignatureFile()
        try:
            return SignatureFile.model_validate(read_json(path, MAX_BYTES))
        except ValidationError as error:
            raise BundleError(f"{path}: {error.errors(include_url=False)[0]['msg']}") from None


class Secret(StrictModel):
    """A key of HMAC-SHA256, which who signs and who checks both have."""

    id: KeyId = ""
    """What signatures call it; default: the name of its file, without the ending."""
    secret: str | None = Field(None, min_length=SHORTEST, repr=False)
    """It, as `${ENV}`."""
    secret_file: str | None = None
    """A file that holds it; blanks around it do not count."""

    FILES: ClassVar[tuple[str, ...]] = ("secret_file",)

    @model_validator(mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        """A key without an id is called like its file."""
        files = [value[name] for name in cls.FILES if name in value] if isinstance(value, dict) else []
        if files and "id" not in value and isinstance(files[0], str):
            return {**value, "id": Path(files[0]).stem}
        return value

    @model_validator(mode="after")
    def _one(self) -> Self:
        names = (*self.FILES, "secret")
        if sum(getattr(self, name) is not None for name in names) != 1:
            raise ValueError(f"needs one of {', '.join(names)}")
        if not self.id:
            raise ValueError("a 'secret' needs an 'id'")
        return self

    @property
    def algorithm(self) -> Algorithm:
        """What it signs by."""
        return "hmac-sha256" if self.secret is not None or self.secret_file is not None else "ed25519"

    def check(self) -> None:
        """Look whether its file is there.

        Raises:
            ConfigError: It cannot be read.
        """
        for name in self.FILES:
            if getattr(self, name) is not None:
                read_key(getattr(self, name))

    def mac(self, text: bytes) -> bytes:
        """The HMAC of a text.

        Raises:
            ConfigError: The file cannot be read, or holds too little.
        """
        key = self.secret.encode() if self.secret is not None else read_key(str(self.secret_file)).strip()
        if len(key) < SHORTEST:
            raise ConfigError(f"key '{self.id}': a secret must have at least {SHORTEST} bytes")
        return hmac.digest(key, text, hashlib.sha256)


class TrustedKey(Secret):
    """A key whose signatures count: the public half of an ed25519 pair, or a secret."""

    public: str | None = None
    """A PEM file with an ed25519 public key."""

    FILES: ClassVar = ("public", "secret_file")

    def fits(self, signature: KeySignature, text: bytes) -> bool:
        """Whether the signature is this key's over the text.

        Raises:
            ConfigError: The key cannot be read.
            MissingExtra: ed25519 needs a package that is not installed.
        """
        if signature.algorithm != self.algorithm:  # the key says how it signs, never what is signed
            return False
        if self.public is None:
            return hmac.compare_digest(signature.raw(), self.mac(text))
        return _fits(self.public, self.id, signature.raw(), text)


class Trust(StrictModel):
    """Whose bundles and deltas are taken. Several keys may count at a time, so that one can follow another."""

    keys: list[TrustedKey] = Field(min_length=1)
    require: bool = True
    """Refuse what none of them signed; else it is taken as if nobody had asked, without its machine code."""

    @field_validator("keys", mode="after")
    @classmethod
    def _distinct(cls, value: list[TrustedKey]) -> list[TrustedKey]:
        names = [key.id for key in value]
        repeated = {name for name in names if names.count(name) > 1}
        if repeated:
            raise ValueError(f"two keys are called '{min(repeated)}'")
        return value

    def signer(self, folder: Path, text: bytes, signatures: list[KeySignature] | None = None) -> str | None:
        """Which key signed a manifest; None: none of these, where that is allowed.

        Args:
            folder: The bundle or delta.
            text: Its manifest, as it was read.
            signatures: Other ones than those that lie beside it.

        Raises:
            BundleError: None of these did, and one must have.
        """
        found = SignatureFile.of(folder).signatures if signatures is None else signatures
        known = {key.id: key for key in self.keys}
        spoilt = []
        for signature in found:
            key = known.get(signature.key)
            if key is None:
                continue
            if key.fits(signature, text):
                return key.id
            spoilt.append(key.id)
        if not self.require:
            return None
        wanted = f"wanted is one by {' or '.join(repr(name) for name in known)}"
        if spoilt:
            raise BundleError(f"{folder}: the signature by '{spoilt[0]}' is not over this manifest; {wanted}")
        others = sorted({signature.key for signature in found})
        told = f"is signed by {', '.join(map(repr, others[:5]))} alone" if others else "is not signed"
        raise BundleError(f"{folder}: {told}; {wanted}")


def without_secrets(error: ConfigError, trust: Any) -> ConfigError:
    """A config error without the secrets of a `trust` section, as it was given."""
    keys = trust.get("keys") if isinstance(trust, dict) else None
    return masked(error, [key.get("secret") for key in keys if isinstance(key, dict)] if isinstance(keys, list) else [])


def masked(error: ConfigError, secrets: Iterable[Any]) -> ConfigError:
    """A config error without these values, numbers among them: whoever forgot the quotes has a secret too."""
    problems = list(error.problems)
    for secret in (
        str(value) for value in secrets if isinstance(value, str | int | float) and value not in ("", True, False)
    ):
        problems = [replace(p, message=p.message.replace(secret, "***")) for p in problems]
    return ConfigError(problems, error.file)


def read_key(path: str) -> bytes:
    """The content of a key's file.

    Raises:
        ConfigError: It cannot be read.
    """
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: the key cannot be read: {error.strerror}") from None


def ed25519() -> Any:
    """The package's module of ed25519.

    Raises:
        MissingExtra: It is not installed.
    """
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519 as module  # noqa: PLC0415 (an extra)
    except ImportError:
        raise MissingExtra("cryptography", "trust") from None
    return module


def _fits(path: str, name: str, signature: bytes, text: bytes) -> bool:
    kind = ed25519().Ed25519PublicKey
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 (an extra)
    from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415 (an extra)

    try:
        key = load_pem_public_key(read_key(path))
    except ValueError:
        raise ConfigError(f"{path}: key '{name}' is no public key in PEM") from None
    if not isinstance(key, kind):
        raise ConfigError(f"{path}: key '{name}' is no ed25519 key")
    try:
        key.verify(signature, text)
    except InvalidSignature:
        return False
    return True
