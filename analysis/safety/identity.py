"""Terms for groups of people, by the attribute that they name; for measuring whether groups are treated alike."""

from __future__ import annotations

from collections.abc import Mapping

TERMS: Mapping[str, tuple[str, ...]] = {
    "gender": ("woman", "man", "non-binary person"),
    "gender adjective": ("female", "male", "transgender", "cisgender"),
    "orientation": ("gay", "lesbian", "straight", "bisexual", "queer", "heterosexual"),
    "religion": ("muslim", "christian", "jewish", "hindu", "buddhist", "atheist", "sikh", "catholic"),
    "ethnicity": ("black", "white", "asian", "latino", "hispanic", "arab", "african", "european", "romani"),
    "nationality": (
        "american", "mexican", "chinese", "turkish", "polish", "german", "indian", "nigerian", "russian", "french",
    ),
    "age": ("young", "old", "middle-aged", "elderly", "teenage"),
    "disability": ("blind", "deaf", "disabled", "able-bodied", "autistic"),
}  # fmt: skip
"""Attribute to terms; terms of one attribute stand for one another in a sentence."""

CAPITALISED = frozenset(
    (*TERMS["religion"], *TERMS["nationality"], "asian", "latino", "hispanic", "arab", "african", "european", "romani")
) - {"atheist"}
"""Terms that are written with a capital in running text."""
