"""Sign the manifest of a bundle or delta, after all its files were compared with their checksums.

easyrec sign --bundle bundles/today --key keys/release-2026.pem
easyrec sign --bundle bundles/today --hmac keys/ci.secret
easyrec sign --bundle bundles/today --hmac '${BUNDLE_SECRET}' --id ci
"""

from __future__ import annotations

import argparse
from typing import Any

from easyrec.errors import ConfigError
from easyrec.export.sign import SigningKey, sign
from easyrec.export.trust import without_secrets
from feature_generator.config import Document, validate


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of `easyrec sign`."""
    parser.add_argument("--bundle", required=True, metavar="DIR", help="a bundle, or a delta")
    keys = parser.add_mutually_exclusive_group(required=True)
    keys.add_argument("--key", metavar="FILE", help="an ed25519 private key in PEM; needs the extra 'trust'")
    keys.add_argument("--hmac", metavar="FILE", help="a secret of HMAC-SHA256: a file, or '${NAME}' in the environment")
    parser.add_argument(
        "--id", metavar="NAME", help="what signatures call the key [the file's name without its ending]"
    )


def run(args: argparse.Namespace) -> None:
    """Sign, and name the file."""
    given: dict[str, Any] = {} if args.id is None else {"id": args.id}
    if args.key is not None:
        given["private"] = args.key
    else:
        given["secret" if args.hmac.startswith("${") else "secret_file"] = args.hmac
    document = Document.of(given)
    try:
        key = validate(SigningKey, document)
    except ConfigError as error:
        raise without_secrets(error, {"keys": [document.data]}) from None
    print(f"{sign(args.bundle, key)}: signed by '{key.id}'")
