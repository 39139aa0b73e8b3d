"""What people say about an answer, in one form: through the feedback door or inside telemetry, it reads the same."""

from __future__ import annotations

from typing import Literal

Kind = Literal["thumb", "rating", "verdict", "comment", "correction"]
FEEDBACK_KINDS: tuple[Kind, ...] = ("thumb", "rating", "verdict", "comment", "correction")
THUMB_WORDS = {
    **dict.fromkeys(("up", "thumb_up", "thumbs_up", "positive", "like", "\N{THUMBS UP SIGN}"), 1),
    **dict.fromkeys(("down", "thumb_down", "thumbs_down", "negative", "dislike", "\N{THUMBS DOWN SIGN}"), 0),
}


def thumb(value: float | None, label: str | None) -> int | None:
    """Return 1 for up, 0 for down, None where neither number nor word tells; a number above 0 is up."""
    if value is not None:
        return 1 if value > 0 else 0
    return THUMB_WORDS.get(_word(label))


def names_a_thumb(name: str | None, label: str | None) -> bool:
    """Whether somebody calls it a thumb; only people give those."""
    words = {_word(name), _word(label)}
    return any("thumb" in word for word in words) or bool(words & {"\N{THUMBS UP SIGN}", "\N{THUMBS DOWN SIGN}"})


def told(name: str | None, value: float | None, label: str | None) -> tuple[Kind, float | None]:
    """Return kind and value of a human's signal whose sender did not say the kind.

    >>> told("thumbs", None, "Thumbs Down")
    ('thumb', 0)
    >>> told("helpfulness", None, "4")
    ('rating', 4.0)
    >>> told("user feedback", None, "wrong figure")
    ('verdict', None)
    """
    found = thumb(value, label)
    if found is not None and (names_a_thumb(name, label) or value is None):
        return "thumb", found
    value = _number(label) if value is None else value
    if value is not None:
        return "rating", value
    return ("verdict" if label else "comment"), None


def _word(label: str | None) -> str:
    return "_".join((label or "").lower().replace("-", " ").replace("_", " ").split())


def _number(label: str | None) -> float | None:
    """Return the number that a label is; some clients have no other field for it."""
    text = (label or "").strip()
    if not text.replace(".", "", 1).isascii() or not text.replace(".", "", 1).isdigit():
        return None
    return float(text)
