"""What every group of settings is made of: the base class, and values that check themselves."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from undertow.clock import parse_duration
from undertow.errors import ConfigError


def require_pattern(name: str, expression: str) -> None:
    """Refuse, by its name, an expression that cannot be used on every string."""
    import re2  # most installations have no pattern of their own

    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,63}", name):
        raise ValueError(f"pattern {name!r}: a name is a letter and up to 63 letters, digits and underscores")
    options = re2.Options()
    options.log_errors = False  # it would write the pattern to standard error
    try:
        compiled = re2.compile(expression, options)
    except re2.error as error:
        reason = error.args[0].decode() if error.args and isinstance(error.args[0], bytes) else str(error)
        raise ValueError(f"pattern {name!r} is not a regular expression of RE2: {reason}") from None
    if compiled.search(""):
        raise ValueError(f"pattern {name!r} also matches where nothing stands, so it would mark every place")


def _duration(text: str) -> str:
    try:
        parse_duration(text)
    except ConfigError as error:
        raise ValueError(str(error)) from None
    return text


def _size(text: str) -> str:
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?[KMGT]i?B", text, re.IGNORECASE)
    if found is None or float(found[1]) == 0:
        raise ValueError(f"{text!r} is not a size; write for instance 512MB, 2GB or 1.5GiB")
    return text


Port = Annotated[int, Field(ge=0, le=65535)]
Duration = Annotated[str, AfterValidator(_duration)]
Size = Annotated[str, AfterValidator(_size)]


class Section(BaseModel):
    """A frozen group of settings that refuses unknown names."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
