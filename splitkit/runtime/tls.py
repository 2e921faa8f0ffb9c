"""Mutual TLS 1.3 between the two programs: each shows a certificate of one common authority.

The authority is this system's own (`splitkit keys` makes one), so that whoever has a certificate of it belongs to the
system; which of the two roles a peer may take stands in the certificate (extended key usage), not in a host name.
"""

import argparse
import ssl
from dataclasses import dataclass
from pathlib import Path

from splitkit.errors import ConfigError

FLAGS = ("--tls-cert", "--tls-key", "--tls-ca")


@dataclass(frozen=True)
class Credentials:
    """Files in PEM: this program's certificate and its key, and the authority that the peer's must come from."""

    certificate: Path
    key: Path
    authority: Path

    def server(self) -> ssl.SSLContext:
        """For the aggregator, which asks every peer for its certificate.

        Raises:
            ConfigError: a file cannot be read, or is not what it should be.
        """
        return self._context(ssl.PROTOCOL_TLS_SERVER)

    def client(self) -> ssl.SSLContext:
        """For a sensor; raises as `server`."""
        return self._context(ssl.PROTOCOL_TLS_CLIENT)

    def _context(self, protocol: int) -> ssl.SSLContext:
        for file in (self.certificate, self.key, self.authority):
            try:
                file.read_bytes()
            except OSError as error:
                raise ConfigError(
                    f"{file}: cannot be read: {error.strerror}", "`splitkit keys DIR` makes one"
                ) from error
        context = ssl.SSLContext(protocol)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.check_hostname = False  # an address says nothing: the authority and the role do
        context.verify_mode = ssl.CERT_REQUIRED
        try:
            context.load_cert_chain(self.certificate, self.key, password=self._encrypted)
        except ssl.SSLError as error:
            raise ConfigError(
                f"{self.certificate} and {self.key} are not a certificate and its key",
                "both in PEM, as `splitkit keys DIR` makes them",
            ) from error
        try:
            context.load_verify_locations(self.authority)
        except ssl.SSLError as error:
            raise ConfigError(f"{self.authority}: holds no certificate in PEM", "--tls-ca is the ca.pem") from error
        return context

    def _encrypted(self) -> str:
        raise ConfigError(f"{self.key}: is encrypted, and nobody is there to ask for its password", "give it without")


def add_flags(parser: argparse.ArgumentParser, role: str) -> None:
    """The three flags that name the files."""
    certificate, key, authority = FLAGS
    parser.add_argument(certificate, type=Path, metavar="FILE", help=f"this {role}'s certificate, PEM: use TLS")
    parser.add_argument(key, type=Path, metavar="FILE", help="its key")
    parser.add_argument(authority, type=Path, metavar="FILE", help="the authority that the peer's certificate is of")


def credentials_of(parser: argparse.ArgumentParser, given: argparse.Namespace) -> Credentials | None:
    """What those flags name; None without them. Some of them without the others are a usage error."""
    files = (given.tls_cert, given.tls_key, given.tls_ca)
    if all(file is None for file in files):
        return None
    for flag, file in zip(FLAGS, files, strict=True):
        if file is None:
            parser.error(f"{flag} is missing: {', '.join(FLAGS)} go together")
    return Credentials(*files)
