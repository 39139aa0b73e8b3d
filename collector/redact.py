"""Personal data and credentials are taken out of every string before anything is durable.

One hyperscan pass over all strings of a record says whether anything is there at all; only then are the
patterns confirmed (checksums included) and replaced exactly by RE2, whose running time is linear, so that a
user's own pattern cannot stall the collector.
"""

from __future__ import annotations

import copy
import hashlib
import hmac
import importlib.util
import ipaddress
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, count
from typing import Any

import re2

from collector.records import Record
from undertow.config import RedactionSettings
from undertow.errors import ConfigError


class Plan(dict[str, "Plan | None"]):
    """What of a record's own structure is no content: by name, a plan of what stands below, or None for an id or time.

    Lists are transparent. What no plan names is content, down to the last key.
    """


def _exempt(names: str, **below: Plan) -> Plan:
    return Plan({**dict.fromkeys(names.split()), **below})


_CALLS = _exempt("id")
_MESSAGES = _exempt("tool_call_id", tool_calls=_CALLS)
_FACTS = _exempt(
    "request_model response_model response_id tool_call_id",
    input_messages=_MESSAGES,
    tool_calls=_CALLS,
    documents=_exempt("document_id"),
    judgements=_exempt("response_id"),
)
_RECORD = _exempt(
    "record_id kind trace_id span_id parent_span_id operation dialect status flags start_ns end_ns sequence redactions",
    facts=_FACTS,
    feedback=_exempt("id kind created_ns", target=_exempt("trace_id span_id response_id")),
    change=_exempt("id kind at_ns"),
)
_CONTENT = Plan()
_SHORTEST = 6
"""The built-in patterns find nothing in less; an own pattern may."""

_NEEDS_THE_WHOLE = re.compile(r"\\[Az]|\(\?[A-Za-z]*-")
"""Marks an expression that may depend on where a text begins or ends, so that it cannot be tried on joined texts."""

_CREDENTIAL_NAMES = (
    r"(password|passwd|passphrase|api[_\-]?key|secret[_\-]?key|access[_\-]?key|account[_\-]?key|client[_\-]?secret"
    r"|(access|auth|refresh|id)[_\-]?token)"
)
_NAMES_A_CREDENTIAL = re.compile(rf"(?i){_CREDENTIAL_NAMES}$")
_CARD_NUMBERS = range(2 * 10**13, 7 * 10**18)
"""Numbers of 14 to 19 digits; a card's begins with 2 to 6, which keeps most times in nanoseconds apart."""

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
        groups = [(match.start(), match.end()) for match in re.finditer(r"[^ \-]+", text)]
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
        rf"(?i){_CREDENTIAL_NAMES}\b[\"']{{0,2}}\s{{0,3}}[:=]\s{{0,3}}[\"']{{0,2}}[^\s\"',;]{{6,200}}",
    ),
    Pattern(
        "EMAIL", r"[A-Za-z0-9._%+\-]{1,64}(@|%40)[A-Za-z0-9\-]{1,63}(\.[A-Za-z0-9\-]{1,63}){0,4}\.[A-Za-z]{2,24}\b"
    ),
    Pattern("IBAN", r"\b[A-Z]{2}[0-9]{2}( ?[A-Z0-9]{4}){2,14}( ?[A-Z0-9]{1,4})?\b", _groups(iban)),
    Pattern("CARD", r"([0-9]\.)?\b[0-9]([ \-]?[0-9]){12,}\b", _cards),
    Pattern("NATIONAL_ID", r"\b[0-9]{3}-[0-9]{2}-[0-9]{4}(-[0-9Xx])?\b", _if(_no_book)),
    Pattern("NATIONAL_ID", r"\b[A-CEGHJ-PR-TW-Z]{2} ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[A-D]\b"),
    Pattern("IP_ADDRESS", r"\b[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\b", _if(_octets)),
    Pattern("IP_ADDRESS", r"\b([0-9a-fA-F]{1,4}:){7}[0-9a-fA-F]{1,4}\b"),
    Pattern("IP_ADDRESS", r"\b([0-9a-fA-F]{1,4}:){1,6}(:[0-9a-fA-F]{1,4}){1,6}\b", _if(_shortened)),
    Pattern("PHONE", r"\+[0-9]{1,3}[ \-./]?\(?[0-9]{1,4}\)?([ \-./]?[0-9]{2,4}){2,5}\b", _if(_phone)),
    Pattern("PHONE", r"\(?\b[0-9]{3}\)?[ \-.][0-9]{3}[ \-.][0-9]{4}\b", _if(_phone)),
)


class Redactor:
    """Replaces secrets in records, in place, and counts them by kind.

    Raises
    ------
    ConfigError
        A pattern of the user's own is not a regular expression that RE2 accepts.
    """

    def __init__(self, settings: RedactionSettings) -> None:
        self._enabled = settings.enabled
        self._key = settings.key.get_secret_value().encode() if settings.key else None
        self._hash = settings.mode == "hash"
        if self._hash and self._key is None:
            raise ConfigError("redaction.mode = 'hash' needs redaction.key (UNDERTOW_REDACTION__KEY)")
        own = [Pattern(name.upper(), text) for name, text in settings.patterns.items()]
        self._compiled = [(pattern, _compile(pattern)) for pattern in (*PATTERNS, *own)]
        self._scans_fast = importlib.util.find_spec("hyperscan") is not None
        self._suspects = _scanner(PATTERNS, own)
        self._shortest = 1 if own else _SHORTEST
        self.counts: Counter[str] = Counter()

    def records(self, records: Sequence[Record]) -> None:
        """Redact every string and key of the records, except their own ids, names of models, and times."""
        if not self._enabled:
            return
        for record in records:
            texts: list[str] = []
            _gather(record, _RECORD, texts, self._shortest)
            found = self._suspects("\n".join(texts))
            if found:
                before = self.counts.copy()
                self._clean(record, _RECORD, found)
                if replaced := self.counts - before:
                    record["redactions"] = dict(replaced)

    def _clean(self, node: Any, plan: Plan, found: Sequence[int]) -> None:
        """Redact what is below a node, in place."""
        if isinstance(node, list):
            for place, value in enumerate(node):
                node[place] = self._cleaned(value, plan, found)
            return
        for key, value in node.items():
            below = plan.get(key, _CONTENT)
            if not plan and _names_a_secret(key, value):
                node[key] = self._counted("CREDENTIAL", value)
            elif below is not None or isinstance(value, dict | list):
                node[key] = self._cleaned(value, below or _CONTENT, found)
        if not plan:
            self._clean_keys(node, found)

    def _cleaned(self, value: Any, plan: Plan, found: Sequence[int]) -> Any:
        if isinstance(value, str):
            return self._replace(value, found) if len(value) >= self._shortest else value
        if isinstance(value, dict | list):
            self._clean(value, plan, found)
        elif _like_a_card(value):
            text = self._replace(str(value), found)
            return value if text == str(value) else text
        return value

    def _clean_keys(self, node: dict[str, Any], found: Sequence[int]) -> None:
        renamed: dict[str, Any] = {}
        for key, value in node.items():
            clean = self._replace(key, found) if len(key) >= self._shortest else key
            # Two people must not become one entry.
            names = chain([clean], (f"{clean} {number}" for number in count(2)))
            renamed[next(name for name in names if name == key or (name not in renamed and name not in node))] = value
        if renamed.keys() != node.keys():
            node.clear()
            node.update(renamed)

    def content(self, value: Any) -> Any:
        """Return JSON content as redaction would leave it; the value itself stays as it is."""
        holder = [copy.deepcopy(value)]
        texts: list[str] = []
        _gather(holder, _CONTENT, texts, self._shortest)
        found = self._suspects("\n".join(texts))
        if found:
            self._clean(holder, _CONTENT, found)
        return holder[0]

    def text(self, text: str) -> str:
        """Return the text without what the patterns find."""
        found = self._suspects(text) if self._enabled else ()
        return self._replace(text, found) if found else text

    def _replace(self, text: str, suspects: Sequence[int]) -> str:
        text = _readable(text)
        # Most strings of a record with a finding have none, and one scan costs less than two expressions.
        for index in self._suspects(text) if self._scans_fast else suspects:
            pattern, compiled = self._compiled[index]
            text = compiled.sub(lambda match, pattern=pattern: self._marked(pattern, match.group(0)), text)
        return text

    def _marked(self, pattern: Pattern, text: str) -> str:
        for start, end in reversed(list(pattern.locate(text))):
            text = text[:start] + self._counted(pattern.name, text[start:end]) + text[end:]
        return text

    def _counted(self, name: str, secret: str) -> str:
        self.counts[name] += 1
        return self._mark(name, secret)

    def _mark(self, name: str, secret: str) -> str:
        if not (self._hash and self._key):
            return f"[{name}]"
        return f"[{name}:{hmac.new(self._key, secret.encode(), hashlib.sha256).hexdigest()[:12]}]"


def _gather(node: Any, plan: Plan, texts: list[str], shortest: int) -> None:
    """Collect every string that may hold a secret; a key of content stands before its value as in ``key = value``."""
    # Every string of all telemetry passes here: whatever it is, is asked for once and without a call.
    pairs = node.items() if isinstance(node, dict) else ((None, value) for value in node)
    for key, value in pairs:
        below: Plan | None = plan
        if key is not None:
            if plan:
                below = plan.get(key, _CONTENT)
            else:
                texts += (key, "=")
        if isinstance(value, str):
            if below is not None and len(value) >= shortest:
                texts.append(value)
        elif isinstance(value, dict | list):
            _gather(value, below or _CONTENT, texts, shortest)
        elif below is not None and value.__class__ is int and _like_a_card(value):
            texts.append(str(value))


def _like_a_card(value: Any) -> bool:
    return type(value) is int and value in _CARD_NUMBERS and str(value)[0] in "23456"


def _names_a_secret(key: str, value: Any) -> bool:
    return isinstance(value, str) and len(value) >= _SHORTEST and _NAMES_A_CREDENTIAL.search(key) is not None


def _compile(pattern: Pattern) -> Any:
    options = re2.Options()
    options.log_errors = False  # it would write the pattern to standard error
    try:
        return re2.compile(pattern.expression, options)
    except re2.error as error:
        raise ConfigError(f"redaction pattern {pattern.name!r} is not a valid expression: {error}") from None


Scan = Callable[[str], Sequence[int]]


def _scanner(built_in: Sequence[Pattern], own: Sequence[Pattern]) -> Scan:
    """Return a function that names, by index and in order, the patterns that one of several joined texts may hold.

    Own patterns are tried by RE2 alone: where two engines read an expression differently, a secret would pass.
    """
    if importlib.util.find_spec("hyperscan") is None:
        return _re2_scan([*built_in, *own], 0)
    fast = _hyperscan_scan(built_in)
    if not own:
        return fast
    exact = _re2_scan(own, len(built_in))
    return lambda text: [*fast(text), *exact(text)]


def _re2_scan(patterns: Sequence[Pattern], first: int) -> Scan:
    tried = [
        (index, None if _NEEDS_THE_WHOLE.search(pattern.expression) else _compile(_multiline(pattern)))
        for index, pattern in enumerate(patterns, first)
    ]

    def scan(text: str) -> Sequence[int]:
        readable = _readable(text)
        return [index for index, expression in tried if expression is None or expression.search(readable)]

    return scan


def _multiline(pattern: Pattern) -> Pattern:
    return Pattern(pattern.name, f"(?m:{pattern.expression})")


def _readable(text: str) -> str:
    """The text without lone surrogates, which RE2 cannot read."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _hyperscan_scan(patterns: Sequence[Pattern]) -> Scan:
    import hyperscan

    database = hyperscan.Database()
    # The strings of a record are scanned as lines of one text.
    flags = hyperscan.HS_FLAG_SINGLEMATCH | hyperscan.HS_FLAG_ALLOWEMPTY | hyperscan.HS_FLAG_MULTILINE
    database.compile(
        expressions=[pattern.expression.encode() for pattern in patterns],
        ids=list(range(len(patterns))),
        elements=len(patterns),
        flags=[flags] * len(patterns),
    )

    def scan(text: str) -> Sequence[int]:
        found: set[int] = set()
        database.scan(text.encode("utf-8", "surrogatepass"), match_event_handler=lambda index, *_: found.add(index))
        return sorted(found)

    return scan
