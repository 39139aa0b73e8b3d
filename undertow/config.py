"""Settings: read once at the edge, every value with its origin.

Order of precedence: defaults < ``undertow.toml`` < ``UNDERTOW_*`` (nested with ``__``) < command line.
"""

from __future__ import annotations

import difflib
import json
import logging
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo

from undertow.errors import ConfigError
from undertow.settings import Settings

ENV_PREFIX = "UNDERTOW_"
FILE_NAME = "undertow.toml"
MASK = "********"
_PERHAPS_MEANT, _SURELY_MEANT = 0.6, 0.8

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoadedSettings:
    """Settings together with where each value came from."""

    settings: Settings
    origins: Mapping[str, str]

    def rows(self) -> Iterator[tuple[str, str, str, str]]:
        """Yield (dotted name, value with secrets masked, origin, description)."""
        for path, value, field in _leaves(self.settings):
            shown = (MASK if value else "") if _is_secret(field) else "" if value is None else value
            text = json.dumps(shown, default=_plain) if isinstance(shown, dict | list) else str(shown)
            yield path, text, self.origins.get(path, "default"), field.description or ""


def _plain(value: object) -> object:
    """A part of a mapping of settings, such as a rubric, as JSON."""
    if isinstance(value, BaseModel):
        return value.model_dump()
    raise TypeError(f"{type(value).__name__} is no part of a setting")


def load_settings(
    flags: Mapping[str, Any] | None = None, *, env: Mapping[str, str] | None = None, folder: Path | None = None
) -> LoadedSettings:
    """Read all layers once.

    Parameters
    ----------
    flags : mapping of dotted name to value, as given on the command line; ``None`` values are skipped.
    env : environment, by default that of the process.
    folder : where ``undertow.toml`` is looked for, by default the working folder.

    Raises
    ------
    ConfigError
        A name is unknown, a value malformed, or the combination unsafe.
    """
    env = os.environ if env is None else env
    known = {path: field for path, _, field in _leaves(Settings())}
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    layers = (_from_file((folder or Path.cwd()) / FILE_NAME, known), _from_env(env, known), _from_flags(flags or {}))
    for layer in layers:
        for path, (value, origin) in layer.items():
            if path not in known:
                if origin.startswith(ENV_PREFIX) and not _close(path, known, _SURELY_MEANT):
                    # Somebody else's variable must not stop this process.
                    _log.warning("%s is no setting of Undertow and is ignored", origin)
                    continue
                raise ConfigError(_unknown(path, origin, known))
            values[path] = value
            origins[path] = origin
    try:
        return LoadedSettings(Settings.model_validate(_nest(values)), origins)
    except ValidationError as error:
        raise ConfigError(_explain(error, origins, known)) from None


def _leaves(model: BaseModel, prefix: str = "") -> Iterator[tuple[str, Any, FieldInfo]]:
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value, field


def _is_secret(field: FieldInfo) -> bool:
    extra = field.json_schema_extra
    return SecretStr in (field.annotation, *get_args(field.annotation)) or (
        isinstance(extra, dict) and bool(extra.get("secret"))
    )


Layer = dict[str, tuple[Any, str]]
Known = Mapping[str, FieldInfo]


def _from_file(path: Path, known: Known) -> Layer:
    try:
        tree = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None

    def flatten(node: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
        for key, value in node.items():
            inside = f"{prefix}{key}."
            if isinstance(value, dict) and any(name.startswith(inside) for name in known):
                yield from flatten(value, inside)
            else:  # a mapping is one value, whatever its keys look like
                yield f"{prefix}{key}", value

    return {key: (value, FILE_NAME) for key, value in flatten(tree, "")}


def _from_env(env: Mapping[str, str], known: Known) -> Layer:
    layer: Layer = {}
    for name, text in env.items():
        if name.startswith(ENV_PREFIX):
            path = name.removeprefix(ENV_PREFIX).lower().replace("__", ".")
            whole = next((key for key in known if path.startswith(key + ".")), None)
            if whole is not None:  # the rest of the name may be a token: it is not repeated
                variable = ENV_PREFIX + whole.upper().replace(".", "__")
                raise ConfigError(
                    f"{variable}__… names a part of {whole}, which is read whole: give it in {variable}"
                    + (", as JSON" if _is_mapping(known[whole]) else "")
                )
            layer[path] = (_parse(text), name)
    return layer


def _is_mapping(field: FieldInfo) -> bool:
    return get_origin(field.annotation) is dict


def _parse(text: str) -> Any:
    """An object or list in JSON; everything else stays text and is coerced by its field."""
    if text[:1] in "{[":
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


def _from_flags(flags: Mapping[str, Any]) -> Layer:
    return {path: (value, "command line") for path, value in flags.items() if value is not None}


def _nest(values: Mapping[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path, value in values.items():
        *parents, last = path.split(".")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = value
    return tree


def _close(path: str, known: Known, cutoff: float) -> str | None:
    """The known name that is most like this one, also where single underscores stand for double ones."""
    spellings = (path, path.replace("_", "."), path.replace("_", ".", 1))
    found = (difflib.get_close_matches(spelling, known, n=1, cutoff=cutoff) for spelling in spellings)
    return next((names[0] for names in found if names), None)


def _unknown(path: str, origin: str, known: Known) -> str:
    close = _close(path, known, _PERHAPS_MEANT)
    hint = f"; did you mean {close!r}?" if close else "; `undertow config` lists every setting"
    return f"unknown setting {path!r} (from {origin}){hint}"


def _explain(error: ValidationError, origins: Mapping[str, str], known: Known) -> str:
    lines = []
    for item in error.errors():
        path = ".".join(str(part) for part in item["loc"])
        leaf = next((name for name in known if path == name or path.startswith(name + ".")), "")
        if leaf and path != leaf and _is_secret(known[leaf]):
            path = f"{leaf}.{MASK}"
        origin = origins.get(leaf)
        where = f"{path} (from {origin}): " if origin else f"{path}: " if path else ""
        hint = "; give a JSON object" if item["type"] == "dict_type" and path == leaf else ""
        lines.append(where + item["msg"].removeprefix("Value error, ") + hint)
    return "\n".join(lines)
