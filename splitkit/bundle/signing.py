"""Signed bundles: who exported one, proved before anything of it is believed.

The signature (Ed25519) is of `manifest.json`, byte by byte, and the manifest holds the SHA-256 of every other file. It
lies beside the manifest as `manifest.sig`, in base64. Private keys are PKCS 8, public ones SubjectPublicKeyInfo, both
PEM: what `openssl genpkey -algorithm ed25519` and `openssl pkey -pubout` write.
"""

import base64
import binascii
import os
from pathlib import Path
from typing import TYPE_CHECKING

from splitkit.errors import BundleError, ConfigError
from splitkit.inside import read_inside

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

SIGNATURE = "manifest.sig"
SIGNATURE_BYTES = 1024
"""More than the file ever has."""

PRIVATE_KEY, PUBLIC_KEY = "signing-key.pem", "signing-key.pub.pem"
KEY_BYTES = 1 << 16


def new_signing_key(directory: Path) -> tuple[Path, Path]:
    """Write a new key pair into `directory`: the private key, for its owner's eyes alone, and the public one.

    Raises:
        ConfigError: one of the files exists, or cannot be written.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    files = {directory / PRIVATE_KEY: (private, 0o600), directory / PUBLIC_KEY: (public, 0o644)}
    for path in files:
        if os.path.lexists(path):
            raise ConfigError(f"{path} exists", "a key is never overwritten: name another directory")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for path, (content, mode) in files.items():
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
                file.write(content)
    except OSError as error:
        raise ConfigError(f"{directory}: cannot be written: {error.strerror or error}") from error
    return directory / PRIVATE_KEY, directory / PUBLIC_KEY


def read_private_key(path: Path) -> "Ed25519PrivateKey":
    """The key to sign with.

    Raises:
        ConfigError: the file cannot be read, or is no unencrypted Ed25519 private key in PEM.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(_key_file(path), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:  # a TypeError: it is encrypted
        raise _no_key(path, "private") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise _no_key(path, "private")
    return key


def read_public_key(path: Path) -> "Ed25519PublicKey":
    """The key to verify with.

    Raises:
        ConfigError: the file cannot be read, or is no Ed25519 public key in PEM.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(_key_file(path))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _no_key(path, "public") from error
    if not isinstance(key, Ed25519PublicKey):
        raise _no_key(path, "public")
    return key


def sign(key: "Ed25519PrivateKey", content: bytes) -> bytes:
    """The content of `manifest.sig` for this content of `manifest.json`."""
    return base64.b64encode(key.sign(content)) + b"\n"


def verify_signature(directory: Path, content: bytes, key_file: Path) -> None:
    """Check that `manifest.json` with this content was signed by the owner of a public key.

    Raises:
        ConfigError: the key cannot be read.
        BundleError: there is no signature, or it is another key's or of another content.
    """
    from cryptography.exceptions import InvalidSignature

    key = read_public_key(key_file)
    if not os.path.lexists(directory / SIGNATURE):
        raise BundleError(f"{directory}: is not signed: {SIGNATURE} is missing", "export it with --sign KEY.pem")
    try:
        signature = base64.b64decode(read_inside(directory, SIGNATURE, SIGNATURE_BYTES).strip(), validate=True)
        key.verify(signature, content)
    except (binascii.Error, InvalidSignature) as error:
        raise BundleError(
            f"{directory / SIGNATURE}: is not the signature of this bundle by the key {key_file}",
            "use it only if you trust where it comes from: it was changed, or signed by somebody else",
        ) from error


def _key_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(KEY_BYTES)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}", "name a key in PEM") from error


def _no_key(path: Path, kind: str) -> ConfigError:
    return ConfigError(
        f"{path}: not an Ed25519 {kind} key in PEM, unencrypted", "splitkit.bundle.signing.new_signing_key makes a pair"
    )
