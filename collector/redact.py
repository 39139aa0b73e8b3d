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
import re
import secrets
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import chain, count
from typing import Any

import re2

from collector.records import Record
from collector.redact_patterns import CREDENTIAL_NAMES, PATTERNS, Pattern, card
from undertow.errors import ConfigError
from undertow.settings.doors import RedactionSettings


class Plan(dict[str, "Plan | None"]):
    """What of a record's own structure is no content, by name: a plan of what stands below, a kind of id, or None.

    None is what the collector itself makes or reads as numbers and hexadecimal bytes. Lists are transparent. What no
    plan names is content, down to the last key.
    """


_ID = Plan()
"""What senders call an id or a model. It may hold anything: only what looks like an id is spared."""

_WHO = Plan()
"""Whom or what rows are told apart by: searched like all content, but two must stay two."""


def _plan(names: str = "", *, ids: str = "", who: str = "", **below: Plan) -> Plan:
    named = dict.fromkeys(names.split())
    return Plan({**named, **dict.fromkeys(ids.split(), _ID), **dict.fromkeys(who.split(), _WHO), **below})


_CALLS = _plan(ids="id")
_MESSAGES = _plan(ids="tool_call_id", tool_calls=_CALLS)
_FACTS = _plan(
    ids="request_model response_model response_id tool_call_id",
    who="session_id user_id",
    input_messages=_MESSAGES,
    tool_calls=_CALLS,
    documents=_plan(ids="document_id"),
    judgements=_plan(ids="response_id"),
)
_RECORD = _plan(
    "record_id kind trace_id span_id parent_span_id operation dialect status flags start_ns end_ns sequence redactions",
    facts=_FACTS,
    feedback=_plan(
        "kind created_ns", ids="id", who="author", target=_plan(ids="trace_id span_id response_id", who="session_id")
    ),
    change=_plan("kind at_ns", ids="id"),
)
_CONTENT = Plan()
_KEY_BYTES = 32
_SHORTEST = 6
"""The built-in patterns find nothing in less; an own pattern may."""

_NEEDS_THE_WHOLE = re.compile(r"\\[Az]|\(\?[A-Za-z]*-")
"""Marks an expression that may depend on where a text begins or ends, so that it cannot be tried on joined texts."""

_LIKE_AN_ID = re.compile(r"[A-Za-z0-9_.:/|+=~#\-]{1,200}")
_LONG_NUMBER = re.compile(r"[0-9](-?[0-9]){12,}")
_EVEN_IN_IDS = {"PRIVATE_KEY", "CREDENTIAL", "EMAIL", "IBAN", "CARD"}
"""Kinds that no id is by chance; digits and dots of an id may well read as a telephone number or an address."""

_NAMES_A_CREDENTIAL = re.compile(rf"(?i){CREDENTIAL_NAMES}$")
_CARD_NUMBERS = range(2 * 10**13, 7 * 10**18)
"""Numbers of 14 to 19 digits; a card's begins with 2 to 6, which keeps most times in nanoseconds apart."""


class Redactor:
    """Replaces secrets in records, in place, and counts them by kind.

    Parameters
    ----------
    key : of the keyed hash, where the settings name none; a new one when absent. Ids are marked with the hash in
        both modes: as bare marks, two sessions would become one.

    Raises
    ------
    ConfigError
        A pattern of the user's own is not a regular expression that RE2 accepts.
    """

    def __init__(self, settings: RedactionSettings, key: bytes | None = None) -> None:
        self._enabled = settings.enabled
        own_key = settings.key.get_secret_value().encode() if settings.key else b""
        self._key = own_key or key or secrets.token_bytes(_KEY_BYTES)
        self._hash = settings.mode == "hash"
        if self._hash and not own_key:
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
                node[key] = self._counted("CREDENTIAL", value, self._hash)
            elif below is not None or isinstance(value, dict | list):
                node[key] = self._cleaned(value, _CONTENT if below is None else below, found)
        if not plan:
            self._clean_keys(node, found)

    def _cleaned(self, value: Any, plan: Plan, found: Sequence[int]) -> Any:
        if isinstance(value, str):
            return self._replace(value, found, plan) if len(value) >= self._shortest else value
        if isinstance(value, dict | list):
            self._clean(value, plan, found)
        elif _like_a_card(value):
            text = self._replace(str(value), found, plan)
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

    def _replace(self, text: str, suspects: Sequence[int], plan: Plan = _CONTENT) -> str:
        text = _readable(text)
        spared = plan is _ID and looks_like_an_id(text)
        hashed = self._hash or plan is _ID or plan is _WHO
        # Most strings of a record with a finding have none, and one scan costs less than two expressions.
        for index in self._suspects(text) if self._scans_fast else suspects:
            pattern, compiled = self._compiled[index]
            if not (spared and pattern.name not in _EVEN_IN_IDS):
                text = compiled.sub(lambda match, pattern=pattern: self._marked(pattern, match.group(0), hashed), text)
        return text

    def _marked(self, pattern: Pattern, text: str, hashed: bool) -> str:
        for start, end in reversed(list(pattern.locate(text))):
            text = text[:start] + self._counted(pattern.name, text[start:end], hashed) + text[end:]
        return text

    def _counted(self, name: str, secret: str, hashed: bool) -> str:
        self.counts[name] += 1
        return self._mark(name, secret) if hashed else f"[{name}]"

    def _mark(self, name: str, secret: str) -> str:
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


def looks_like_an_id(text: str) -> bool:
    """Whether a text may be an id: of letters, digits and the usual marks, not long, and no payment card."""
    if _LIKE_AN_ID.fullmatch(text) is None:
        return False
    return not any(card(found.group(0)) for found in _LONG_NUMBER.finditer(text))


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
