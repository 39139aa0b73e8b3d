"""Single values as clients send them: numbers as strings, JSON in strings, Python reprs, images in base64."""

from __future__ import annotations

import ast
import base64
import binascii
import hashlib
import re
from functools import lru_cache
from typing import Any

import orjson

from collector.dialects.base import WITHHELD
from undertow.semconv import FINISH_REASONS, PROVIDERS, ROLES

DATED = re.compile(r"(.+?)-(?:20\d{2}-\d{2}-\d{2}|20\d{6})")
"""Name of a model with the date of its release, which answers carry."""

_LONGEST_REPR = 100_000
_DEEPEST = 200
_DATA_URI = re.compile(r"data:([\w.+-]+)/[\w.+-]+(?:;[\w=.+-]+)*;base64,([A-Za-z0-9+/_=-]+)")
_LONG_RUN = re.compile(r"[A-Za-z0-9+/_-]{400,}={0,2}")
_SHORTEST_BINARY = 400
_MEMBER = re.compile(r"<(?:\w+\.\w+: ('[^'\n]*'|-?\d+)|class '[^'\n]*'|[^\n]{1,200}? at 0x[0-9a-fA-F]+)>")
"""Members of enumerations, which are their values, and classes and objects, which have no literal."""

_MESSAGE = "Message"
_WRITTEN = re.compile(r"content=('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\") (?=\w+=.*tool_call_id=)", re.DOTALL)
_HEADS = '[{"'
"""What JSON and the reprs of Python's structures begin with."""


def structured(value: Any) -> Any:
    """Return the structure that a value stands for.

    A string that holds JSON (even encoded twice) or the repr of a Python list or dictionary is parsed;
    everything else is returned as it is, a withheld value as None.
    """
    if not isinstance(value, str):
        return value
    head = value[:1]
    if head not in _HEADS and not head.isspace():  # nearly every text
        return None if value == WITHHELD else value
    for _ in range(2):
        if not isinstance(value, str):
            break
        parsed = _parsed(value)
        if parsed is value:
            break
        value = parsed
    return None if isinstance(value, str) and value == WITHHELD else value


def _parsed(text: str) -> Any:
    head = text.lstrip()[:1]
    if not head or head not in _HEADS:
        return text
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return _from_repr(text) if head != '"' else text
    if text.count("[") + text.count("{") <= _DEEPEST:
        return value
    try:
        orjson.dumps(value)
    except TypeError:  # Nested deeper than can be written again.
        return text
    return value


def _from_repr(text: str) -> Any:
    if len(text) > _LONGEST_REPR:
        return text
    try:
        value = _plain(ast.parse(_MEMBER.sub(lambda found: found.group(1) or "None", text), mode="eval").body)
        return orjson.loads(orjson.dumps(value))
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return text


def _plain(node: ast.expr) -> Any:
    """Return what an expression of literals stands for; an object is the dictionary of its fields."""
    if isinstance(node, ast.Dict):
        if None in node.keys:
            raise ValueError("a dictionary is unpacked")
        return {_plain(key): _plain(value) for key, value in zip(node.keys, node.values, strict=True) if key}
    if isinstance(node, ast.List | ast.Tuple):
        return [_plain(item) for item in node.elts]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.keywords and not node.args:
        return _fields(node.func.id, node.keywords)
    return ast.literal_eval(node)


def _fields(kind: str, keywords: list[ast.keyword]) -> dict[str, Any]:
    fields = {word.arg: _plain(word.value) for word in keywords if word.arg}
    if kind.endswith(_MESSAGE) and "type" not in fields and "content" in fields:
        # LangChain tells the role of a message by its class.
        fields["type"] = kind.partition(_MESSAGE)[0].lower()
    return fields


def without_wrapping(value: Any) -> Any:
    """Return the content of a message that LangChain wrote as ``content='…' name='…' tool_call_id='…'``."""
    found = _WRITTEN.match(value) if isinstance(value, str) else None
    try:
        return value if found is None else structured(ast.literal_eval(found.group(1)))
    except (ValueError, SyntaxError):
        return value


def as_dict(value: Any) -> dict[str, Any]:
    """Return the dictionary that a value stands for, or an empty one."""
    found = structured(value)
    return found if isinstance(found, dict) else {}


def as_list(value: Any) -> list[Any]:
    """Return the list that a value stands for; one lone thing is a list of one, nothing is empty."""
    found = structured(value)
    if found is None or found == "":
        return []
    return found if isinstance(found, list) else [found]


def as_text(value: Any) -> str | None:
    """Return a value as text: strings as they are, structures as JSON; nothing, empty and withheld as None."""
    if value is None or value in ("", WITHHELD):
        return None
    if isinstance(value, str):
        return without_binary(value)
    return without_binary(orjson.dumps(value).decode())


def as_name(value: Any) -> str | None:
    """Return a non-empty string or number as a string, anything else as None."""
    if isinstance(value, str):
        return None if value in ("", WITHHELD) else value
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def as_float(value: Any) -> float | None:
    """Return a number, also one written as a string; True and False are 1 and 0."""
    if isinstance(value, int | float):
        return float(value)
    if not isinstance(value, str):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if abs(number) < float("inf") else None


def as_count(value: Any) -> int | None:
    """Return a count of tokens: a whole number of at least zero."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value if value >= 0 else None
    number = None if isinstance(value, bool) else as_float(value)
    return int(number) if number is not None and number >= 0 and number.is_integer() and number < 1 << 53 else None


def as_bool(value: Any) -> bool | None:
    """Return True or False, also when written as a string or a number."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return {"true": True, "1": True, "false": False, "0": False}.get(value.strip().lower())
    return {1: True, 0: False}.get(value) if isinstance(value, int) else None


def finish_reason(value: Any) -> str | None:
    """Return the canonical reason why a model stopped; of several choices, that of the first."""
    found = structured(value)
    if isinstance(found, list):
        found = found[0] if found else None
    name = as_name(found)
    if name is None:
        return None
    # Enumerations arrive as `FinishReason.STOP`.
    word = name.rpartition(".")[2].strip().lower().replace("-", "_").removeprefix("finish_reason_")
    return FINISH_REASONS.get(word, word) or None


def role_name(value: Any, default: str) -> str:
    """Return the canonical role."""
    word = value.lower() if isinstance(value, str) and value else default
    return ROLES.get(word, word)


def provider_name(value: Any) -> str | None:
    """Return the canonical provider: `OpenAI` and `openai.chat` are `openai`."""
    name = as_name(value)
    if name is None:
        return None
    return _canonical_provider(name)


@lru_cache(maxsize=256)
def _canonical_provider(name: str) -> str | None:
    word = name.strip().lower()
    for ending in (".chat", ".responses", ".completion", ".messages", ".embedding"):
        word = word.removesuffix(ending)
    return PROVIDERS.get(word, word) or None


# --- Binary content ----------------------------------------------------------------------------------


def placeholder(kind: str, data: str) -> str:
    """Return ``[image sha256:… 123 kB]``: what stands for binary content, which is never stored.

    Parameters
    ----------
    kind : what it is: image, audio, video, file.
    data : base64, a data URI, or an address, which is kept.
    """
    found = _DATA_URI.match(data)
    if found:
        data = found.group(2)
    elif "://" in data[:12]:
        return f"[{kind} {data}]"
    try:
        content = base64.b64decode(data, altchars=b"-_" if "-" in data or "_" in data else None)
    except (binascii.Error, ValueError):
        content = data.encode("utf-8", "replace")
    return f"[{kind} sha256:{hashlib.sha256(content).hexdigest()[:16]} {max(1, round(len(content) / 1000))} kB]"


def media_kind(mime: Any) -> str:
    """Return image, audio, video or file for a MIME type or a modality."""
    word = mime.partition("/")[0].lower() if isinstance(mime, str) else ""
    return next((kind for kind in ("image", "audio", "video") if kind in word), "file")


def without_binary(text: str) -> str:
    """Return the text with every embedded piece of base64 replaced by its placeholder."""
    if len(text) < _SHORTEST_BINARY or ("base64" not in text and '"blob"' not in text):
        return text
    text = _DATA_URI.sub(lambda match: placeholder(media_kind(match.group(1)), match.group(0)), text)
    return _LONG_RUN.sub(lambda match: placeholder("file", match.group(0)), text)


def tidy(value: Any) -> Any:
    """Return a value without embedded base64, however deep; containers are copied only where they change."""
    if isinstance(value, str):
        return without_binary(value)
    if isinstance(value, list):
        # Vectors and tags are long and hold nothing to replace.
        return [tidy(item) for item in value] if any(isinstance(i, str | dict | list) for i in value) else value
    if isinstance(value, dict):
        return {key: tidy(item) for key, item in value.items()}
    return value
