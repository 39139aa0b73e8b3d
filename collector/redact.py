"""Personal data and credentials are taken out of every string before anything is durable.

One hyperscan pass over all strings of a record says whether anything is there at all; only then are the
patterns confirmed (checksums included) and replaced exactly by RE2, whose running time is linear, so that a
user's own pattern cannot stall the collector.
"""

from __future__ import annotations

import hashlib
import hmac
import importlib.util
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
    "provider request_model response_model response_id finish_reason tool_call_id",
    input_messages=_MESSAGES,
    tool_calls=_CALLS,
    documents=_exempt("document_id"),
    judgements=_exempt("response_id"),
)
_RECORD = _exempt(
    "record_id kind trace_id span_id parent_span_id operation service_name environment scope_name dialect status flags"
    " start_ns end_ns sequence",
    facts=_FACTS,
    feedback=_exempt("id kind created_ns", target=_exempt("trace_id span_id response_id")),
    change=_exempt("id kind at_ns"),
)
_CONTENT = Plan()
_SHORTEST = 6
_NAMES_A_CREDENTIAL = re.compile(r"(?i)\b(password|passwd|api[_\-]?key|secret[_\-]?key|access[_\-]?token)$")
_CARD_NUMBERS = range(2 * 10**13, 7 * 10**18)
"""Numbers of 14 to 19 digits; a card's begins with 2 to 6, which keeps most times in nanoseconds apart."""


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


def _octets(text: str) -> bool:
    return all(int(part) <= 255 for part in text.split("."))


def _phone(text: str) -> bool:
    return 9 <= sum(c.isdigit() for c in text) <= 15


PATTERNS: tuple[Pattern, ...] = (
    Pattern("PRIVATE_KEY", r"-----BEGIN [A-Z ]*PRIVATE KEY-----[A-Za-z0-9+/=\s\\]*(-----END [A-Z ]*PRIVATE KEY-----)?"),
    Pattern(
        "CREDENTIAL",
        r"\b(sk-[A-Za-z0-9_\-]{16,200}|AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{30,100}|xox[abprs]-[A-Za-z0-9\-]{10,100}"
        r"|AIza[A-Za-z0-9_\-]{30,60}|glpat-[A-Za-z0-9_\-]{16,60}|hf_[A-Za-z0-9]{20,60}"
        r"|eyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,})",
    ),
    Pattern("CREDENTIAL", r"(?i)\bbearer\s+[A-Za-z0-9_\-.=+/]{16,}"),
    Pattern(
        "CREDENTIAL",
        r"(?i)\b(password|passwd|api[_\-]?key|secret[_\-]?key|access[_\-]?token)\b[\"']{0,2}\s{0,3}[:=]\s{0,3}[\"']{0,2}[^\s\"',;]{6,200}",
    ),
    Pattern("EMAIL", r"[A-Za-z0-9._%+\-]{1,64}@[A-Za-z0-9\-]{1,63}(\.[A-Za-z0-9\-]{1,63}){0,4}\.[A-Za-z]{2,24}\b"),
    Pattern("IBAN", r"\b[A-Z]{2}[0-9]{2}( ?[A-Z0-9]{4}){2,14}( ?[A-Z0-9]{1,4})?\b", _groups(iban)),
    Pattern("CARD", r"\b[0-9]([ \-]?[0-9]){12,}\b", _groups(luhn)),
    Pattern("NATIONAL_ID", r"\b[0-9]{3}-[0-9]{2}-[0-9]{4}\b"),
    Pattern("NATIONAL_ID", r"\b[A-CEGHJ-PR-TW-Z]{2} ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[A-D]\b"),
    Pattern("IP_ADDRESS", r"\b[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\b", _if(_octets)),
    Pattern("IP_ADDRESS", r"\b([0-9a-fA-F]{1,4}:){7}[0-9a-fA-F]{1,4}\b"),
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
        self._patterns = (*PATTERNS, *(Pattern(name.upper(), text) for name, text in settings.patterns.items()))
        self._compiled = [(pattern, _compile(pattern)) for pattern in self._patterns]
        self._suspects = _scanner(self._patterns)
        self.counts: Counter[str] = Counter()

    def records(self, records: Sequence[Record]) -> None:
        """Redact every string and key of the records, except their own ids, names of models and services, and times."""
        if not self._enabled:
            return
        for record in records:
            texts: list[str] = []
            _gather(record, _RECORD, texts)
            found = self._suspects("\n".join(texts))
            if found:
                self._clean(record, _RECORD, found)

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
            return self._replace(value, found) if len(value) >= _SHORTEST else value
        if isinstance(value, dict | list):
            self._clean(value, plan, found)
        elif _like_a_card(value):
            text = self._replace(str(value), found)
            return value if text == str(value) else text
        return value

    def _clean_keys(self, node: dict[str, Any], found: Sequence[int]) -> None:
        renamed: dict[str, Any] = {}
        for key, value in node.items():
            clean = self._replace(key, found) if len(key) >= _SHORTEST else key
            # Two people must not become one entry.
            names = chain([clean], (f"{clean} {number}" for number in count(2)))
            renamed[next(name for name in names if name == key or (name not in renamed and name not in node))] = value
        if renamed.keys() != node.keys():
            node.clear()
            node.update(renamed)

    def text(self, text: str) -> str:
        """Return the text without what the patterns find."""
        found = self._suspects(text) if self._enabled else ()
        return self._replace(text, found) if found else text

    def _replace(self, text: str, suspects: Sequence[int]) -> str:
        if not text.isascii():  # RE2 reads UTF-8, which has no lone surrogates
            text = text.encode("utf-8", "replace").decode()
        for index in suspects:
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


def _gather(node: Any, plan: Plan, texts: list[str]) -> None:
    """Collect every string that may hold a secret; a key of content stands before its value as in ``key = value``."""
    if isinstance(node, list):
        for value in node:
            _gather_value(value, plan, texts)
        return
    for key, value in node.items():
        if not plan:
            texts += (key, "=")
            _gather_value(value, _CONTENT, texts)
        else:
            below = plan.get(key, _CONTENT)
            if below is not None or isinstance(value, dict | list):
                _gather_value(value, below or _CONTENT, texts)


def _gather_value(value: Any, plan: Plan, texts: list[str]) -> None:
    if isinstance(value, str):
        if len(value) >= _SHORTEST:
            texts.append(value)
    elif isinstance(value, dict | list):
        _gather(value, plan, texts)
    elif _like_a_card(value):
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


def _scanner(patterns: Sequence[Pattern]) -> Callable[[str], Sequence[int]]:
    """Return a function that names, by index and in order, the patterns a text may hold."""
    if importlib.util.find_spec("hyperscan") is None:
        compiled = [_compile(Pattern(pattern.name, f"(?m){pattern.expression}")) for pattern in patterns]
        return lambda text: [i for i, expression in enumerate(compiled) if expression.search(text)]
    import hyperscan

    database = hyperscan.Database()
    # The strings of a record are scanned as lines of one text.
    flags = hyperscan.HS_FLAG_SINGLEMATCH | hyperscan.HS_FLAG_ALLOWEMPTY | hyperscan.HS_FLAG_MULTILINE
    try:
        database.compile(
            expressions=[pattern.expression.encode() for pattern in patterns],
            ids=list(range(len(patterns))),
            elements=len(patterns),
            flags=[flags] * len(patterns),
        )
    except hyperscan.error as error:
        raise ConfigError(f"a redaction pattern cannot be compiled: {error}") from None

    def scan(text: str) -> Sequence[int]:
        found: set[int] = set()
        database.scan(text.encode("utf-8", "surrogatepass"), match_event_handler=lambda index, *_: found.add(index))
        return sorted(found)

    return scan
