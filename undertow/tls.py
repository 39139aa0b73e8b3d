"""TLS: what the doors of a collector show, and whom those believe who knock.

Processes of the collector's own machine find its certificate in the endpoint file and believe that one alone
(a pin), whatever name it bears; all others check the name and the authorities, as browsers do.
"""

from __future__ import annotations

import http.client
import re
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from undertow.errors import ConfigError
from undertow.settings.doors import TlsSettings

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


@dataclass(frozen=True)
class Trust:
    """Whom a client believes.

    Attributes
    ----------
    pem : certificates that are believed; empty means the authorities of the system.
    pinned_name : a name in the certificate, where `pem` is the server's own certificate; else empty.
    """

    pem: str = ""
    pinned_name: str = ""

    def context(self) -> ssl.SSLContext:
        """Return what Python's clients take."""
        if not self.pinned_name:
            return ssl.create_default_context(cadata=self.pem or None)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False  # no other certificate is believed, so its name does not matter
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.load_verify_locations(cadata=self.pem)
        return context


SYSTEM = Trust()


@dataclass(frozen=True)
class Identity:
    """Certificate and key of the doors.

    Attributes
    ----------
    certificate, key : PEM; the certificate with what vouches for it.
    leaf : PEM of the certificate alone.
    name : one of its names.
    expires : in UTC.
    """

    certificate: str
    key: str
    leaf: str
    name: str
    expires: datetime

    @property
    def trust(self) -> Trust:
        """How processes of this machine recognise it."""
        return Trust(self.leaf, self.name)


def trust_of(tls: TlsSettings) -> Trust:
    """Whom the settings tell to believe.

    Raises
    ------
    ConfigError
        The file cannot be read or holds no certificate.
    """
    if tls.ca is None:
        return SYSTEM
    pem = _read(tls.ca, "tls.ca")
    try:
        ssl.create_default_context(cadata=pem)
    except (ssl.SSLError, ValueError):
        raise ConfigError(f"tls.ca: {tls.ca} holds no certificate in PEM") from None
    return Trust(pem)


def identity_of(tls: TlsSettings) -> Identity | None:
    """Read certificate and key, and try them on each other.

    Returns
    -------
    Identity or None
        ``None`` where no certificate is configured.

    Raises
    ------
    ConfigError
        A file cannot be read, they do not belong together, the key has a passphrase, or the certificate is not
        valid today.
    """
    if tls.certificate is None or tls.key is None:
        return None
    certificate, key = _read(tls.certificate, "tls.certificate"), _read(tls.key, "tls.key")
    found = _CERTIFICATE.search(certificate)
    if found is None:
        raise ConfigError(f"tls.certificate: {tls.certificate} holds no certificate in PEM")
    shown = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        shown.load_cert_chain(tls.certificate, tls.key, password=_no_passphrase)
    except _PassphraseError:
        raise ConfigError(f"tls.key: {tls.key} has a passphrase; give the key without one") from None
    except ssl.SSLError as error:
        raise ConfigError(
            f"tls.certificate {tls.certificate} and tls.key {tls.key} cannot be used together"
            f" ({error.reason or 'not PEM'})"
        ) from None
    try:
        facts = _handshake(shown, Trust(found[0], "any").context())
    except ssl.SSLCertVerificationError as error:
        raise ConfigError(f"tls.certificate: {tls.certificate} is refused: {error.verify_message}") from None
    expires = datetime.fromtimestamp(ssl.cert_time_to_seconds(str(facts["notAfter"])), UTC)
    return Identity(certificate, key, found[0], _name(facts), expires)


def http_connection(url: str, timeout_s: float, trust: Trust = SYSTEM) -> http.client.HTTPConnection:
    """Return a connection to an ``http`` or ``https`` address; it is made by the first request."""
    parts = urlsplit(url)
    if parts.scheme == "https":
        return http.client.HTTPSConnection(parts.hostname or "", parts.port, timeout=timeout_s, context=trust.context())
    return http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)


class _PassphraseError(Exception):
    pass


def _no_passphrase() -> str:
    raise _PassphraseError  # OpenSSL would ask the terminal


def _read(path: Path, setting: str) -> str:
    try:
        return path.read_text("ascii")
    except UnicodeDecodeError:
        raise ConfigError(f"{setting}: {path} is not PEM; convert it with openssl") from None
    except OSError as error:
        raise ConfigError(f"{setting}: {path} cannot be read ({error.strerror})") from None


def _handshake(server: ssl.SSLContext, client: ssl.SSLContext) -> dict[str, object]:
    """Let both talk in memory, and return what the certificate says, as the client reads it."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [client.wrap_bio(down, up), server.wrap_bio(up, down, server_side=True)]
    waiting = True
    while waiting:
        waiting = False
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                waiting = True
    return dict(ends[0].getpeercert() or {})


def _name(facts: dict[str, object]) -> str:
    """A name that clients accept for the certificate."""
    names: dict[str, str] = {}
    for kind, name in facts.get("subjectAltName", ()):  # type: ignore[attr-defined] # typed as object by ssl
        names.setdefault(kind, name)
    for part in facts.get("subject", ()):  # type: ignore[attr-defined] # as above
        names.setdefault("CN", dict(part).get("commonName") or "")
    found = names.get("DNS") or names.get("IP Address") or names.get("CN") or "localhost"
    return found.replace("*", "collector", 1)
