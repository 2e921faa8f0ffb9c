"""Keys of one system: an authority of its own, and a certificate for each of the two roles it knows.

Elliptic-curve keys (P-256) and X.509 certificates in PEM, which every TLS library reads. A certificate's extended key
usage says whether its holder is a sensor (TLS client) or the aggregator (TLS server); one cannot pass for the other.
"""

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from splitkit.errors import ConfigError

VALID_DAYS = 3650
CLOCK_SKEW = timedelta(days=1)
"""A device's clock may be behind this machine's."""

ROLES = {"sensor": ExtendedKeyUsageOID.CLIENT_AUTH, "aggregator": ExtendedKeyUsageOID.SERVER_AUTH}


@dataclass(frozen=True)
class KeyFile:
    """A file to write: its name, what it holds, whether only its owner may read it, and a line on what it is for."""

    name: str
    content: bytes
    secret: bool
    about: str


def write_keys(directory: Path) -> list[KeyFile]:
    """Write an authority and both roles' certificates into a directory, made if need be; returns what was written.

    Nothing that is there is replaced, and a failure leaves no file behind.

    Raises:
        ConfigError: one of the files is there already.
    """
    files = list(tls_files())
    for file in files:
        if os.path.lexists(directory / file.name):
            raise ConfigError(
                f"{directory / file.name}: is there already", "keys are never replaced: name a new directory"
            )
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    written: list[Path] = []
    try:
        with tempfile.TemporaryDirectory(prefix=".keys.", dir=directory) as beside:
            for file in files:
                _write(Path(beside) / file.name, file)
            for file in files:
                os.link(Path(beside) / file.name, directory / file.name)  # fails where a file is, unlike a rename
                written.append(directory / file.name)
    except BaseException:
        for path in written:
            path.unlink()
        raise
    return files


def tls_files() -> Iterator[KeyFile]:
    """What mutual TLS between the sensors and the aggregator of one system needs."""
    authority = ec.generate_private_key(ec.SECP256R1())
    issuer = _name("splitkit authority")
    certificate = (
        _builder(issuer, issuer, authority.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(authority.public_key()), critical=False)
        .sign(authority, hashes.SHA256())
    )
    yield KeyFile("ca.pem", _pem(certificate), False, "the authority: give it to both sides (--tls-ca)")
    yield KeyFile("ca.key", _key_pem(authority), True, "makes further certificates: keep it off every device")
    for role, usage in ROLES.items():
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            _builder(_name(f"splitkit {role}"), issuer, key.public_key())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(role)]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()), critical=False)
            .sign(authority, hashes.SHA256())
        )
        whose = "every sensor's" if role == "sensor" else "the aggregator's"
        yield KeyFile(f"{role}.pem", _pem(certificate), False, f"{whose} certificate (--tls-cert)")
        yield KeyFile(f"{role}.key", _key_pem(key), True, f"{whose} key (--tls-key): on that device alone")


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + timedelta(days=VALID_DAYS))
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _usage(signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(path: Path, file: KeyFile) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if file.secret else 0o644)
    with os.fdopen(descriptor, "wb") as out:
        out.write(file.content)
        os.fchmod(out.fileno(), 0o600 if file.secret else 0o644)  # whatever the umask
        out.flush()
        os.fsync(out.fileno())
