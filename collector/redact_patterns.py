"""What redaction looks for: personal data and credentials, as expressions and checks of what they found."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

CREDENTIAL_NAMES = (
    r"(password|passwd|passphrase|api[_\-]?key|secret[_\-]?key|access[_\-]?key|account[_\-]?key|client[_\-]?secret"
    r"|(access|auth|refresh|id)[_\-]?token)"
)
"""Names whose value is a secret, as an expression."""

_WRITTEN_LIKE_A_CARD = re.compile(
    r"[0-9]{13,19}|[0-9]{4}([ -])[0-9]{4}\1[0-9]{4}\1[0-9]{1,4}(\1[0-9]{1,3})?|[0-9]{4}([ -])[0-9]{6}\3[0-9]{4,5}"
)
_ISSUED = re.compile(
    r"4([0-9]{12}|[0-9]{18})$|3[47][0-9]{13}$|(1800|2131)[0-9]{11}$|3(0[0-5]|[689][0-9])[0-9]{11,16}$"
    r"|35[0-9]{15,17}$|(5[0678]|6[0-9])[0-9]{11,17}$"
)
"""Visa, American Express, JCB, Diners Club, JCB, Maestro with Discover and UnionPay; 16 digits need no more."""


Spans = Iterator[tuple[int, int]]


def _whole(text: str) -> Spans:
    yield 0, len(text)


@dataclass(frozen=True)
class Pattern:
    """One kind of secret: an expression, and where in a match of it the secret stands."""

    name: str
    expression: str
    locate: Callable[[str], Spans] = _whole


def _if(valid: Callable[[str], bool]) -> Callable[[str], Spans]:
    """Take the whole match where it is valid."""
    return lambda text: _whole(text) if valid(text) else iter(())


def _groups(valid: Callable[[str], bool]) -> Callable[[str], Spans]:
    """Take every longest run of groups that is valid: a number may stand right beside other numbers."""

    def locate(text: str) -> Spans:
        groups = [(match.start(), match.end()) for match in re.finditer(r"[^ \-_]+", text)]
        first = 0
        while first < len(groups):
            for last in range(len(groups) - 1, first - 1, -1):
                if valid(text[groups[first][0] : groups[last][1]]):
                    yield groups[first][0], groups[last][1]
                    first = last
                    break
            first += 1

    return locate


def luhn(text: str) -> bool:
    """Check digit of payment cards (ISO/IEC 7812-1, annex B)."""
    digits = [int(c) for c in text if c.isdigit()]
    doubled = [d * 2 - 9 * (d > 4) for d in digits[-2::-2]]
    return 13 <= len(digits) <= 19 and len(set(digits)) > 1 and (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def iban(text: str) -> bool:
    """Check digits of an IBAN (ISO 13616, mod 97-10)."""
    compact = "".join(text.split()).upper()
    turned = compact[4:] + compact[:4]
    return 15 <= len(compact) <= 34 and compact.isalnum() and int("".join(str(int(c, 36)) for c in turned)) % 97 == 1


def card(text: str) -> bool:
    """Whether digits are written like the number of a payment card, begin like one, and have its check digit.

    Numbers of other lengths than 16 must begin like those of an issuer: a tenth of all times and article numbers
    has a valid check digit, too.
    """
    if not _WRITTEN_LIKE_A_CARD.fullmatch(text):
        return False
    digits = "".join(c for c in text if c.isdigit())
    issued = digits[0] not in "01" if len(digits) == 16 else _ISSUED.match(digits) is not None
    return issued and luhn(digits)


def _cards(text: str) -> Spans:
    """Cards among groups of digits; one run of digits after a decimal point is a fraction."""
    if text[1:2] != "." or not text[2:].isdigit():
        yield from _groups(card)(text)


def _octets(text: str) -> bool:
    """Whether numbers are the address of a machine; that of one's own says nothing about anybody."""
    return (
        all(int(part) <= 255 for part in text.split("."))
        and not text.startswith("127.")
        and any(c in text for c in "123456789")
    )


def _shortened(text: str) -> bool:
    """Whether a text with ``::`` is an address; two words of code between colons are none."""
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return any(c.isdigit() for c in text) and len(text.replace("::", ":").split(":")) > 2


def _no_book(text: str) -> bool:
    """A tenth digit makes it the number of a book (ISBN)."""
    return len(text) == len("000-00-0000")


def _phone(text: str) -> bool:
    return 9 <= sum(c.isdigit() for c in text) <= 15


PATTERNS: tuple[Pattern, ...] = (
    Pattern("PRIVATE_KEY", r"-----BEGIN [A-Z ]*PRIVATE KEY-----[A-Za-z0-9+/=\s\\]*(-----END [A-Z ]*PRIVATE KEY-----)?"),
    Pattern(
        "CREDENTIAL",
        r"\b([sr]k[-_][A-Za-z0-9_\-]{16,200}|A[KS]IA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{30,100}|github_pat_[A-Za-z0-9_]{22,100}"
        r"|xox[abprs]-[A-Za-z0-9\-]{10,100}|npm_[A-Za-z0-9]{36}|pypi-[A-Za-z0-9_\-]{16,200}|SG\.[A-Za-z0-9_\-]{16,40}\.[A-Za-z0-9_\-]{16,60}"
        r"|AIza[A-Za-z0-9_\-]{30,60}|glpat-[A-Za-z0-9_\-]{16,60}|hf_[A-Za-z0-9]{20,60}"
        r"|eyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,})",
    ),
    Pattern("CREDENTIAL", r"(?i)\bbearer\s+[A-Za-z0-9_\-.=+/]{16,}"),
    Pattern("CREDENTIAL", r"(?i)\bauthorization[\"']?\s{0,3}[:=]\s{0,3}[\"']?[a-z]{1,20}\s{1,3}[A-Za-z0-9_\-.=+/]{6,}"),
    Pattern("CREDENTIAL", r"\b[a-z][a-z0-9+]{1,20}://[^\s/:@\"']{0,64}:[^\s/@\"']{3,128}@"),
    Pattern(
        "CREDENTIAL",
        rf"(?i){CREDENTIAL_NAMES}\b[\"']{{0,2}}\s{{0,3}}[:=]\s{{0,3}}[\"']{{0,2}}[^\s\"',;]{{6,200}}",
    ),
    Pattern(
        "EMAIL", r"[A-Za-z0-9._%+\-]{1,64}(@|%40)[A-Za-z0-9\-]{1,63}(\.[A-Za-z0-9\-]{1,63}){0,4}\.[A-Za-z]{2,24}\b"
    ),
    Pattern("IBAN", r"\b[A-Z]{2}[0-9]{2}( ?[A-Z0-9]{4}){2,14}( ?[A-Z0-9]{1,4})?\b", _groups(iban)),
    Pattern("CARD", r"([0-9]\.)?(\b|_)[0-9]([ \-]?[0-9]){12,}(\b|_)", _cards),
    Pattern("NATIONAL_ID", r"\b[0-9]{3}-[0-9]{2}-[0-9]{4}(-[0-9Xx])?\b", _if(_no_book)),
    Pattern("NATIONAL_ID", r"\b[A-CEGHJ-PR-TW-Z]{2} ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[A-D]\b"),
    Pattern("IP_ADDRESS", r"\b[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\b", _if(_octets)),
    Pattern("IP_ADDRESS", r"\b([0-9a-fA-F]{1,4}:){7}[0-9a-fA-F]{1,4}\b"),
    Pattern("IP_ADDRESS", r"\b([0-9a-fA-F]{1,4}:){1,6}(:[0-9a-fA-F]{1,4}){1,6}\b", _if(_shortened)),
    Pattern("PHONE", r"\+[0-9]{1,3}[ \-./]?\(?[0-9]{1,4}\)?([ \-./]?[0-9]{2,4}){2,5}\b", _if(_phone)),
    Pattern("PHONE", r"\(?\b[0-9]{3}\)?[ \-.][0-9]{3}[ \-.][0-9]{4}\b", _if(_phone)),
)
