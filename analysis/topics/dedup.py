"""Near-identical texts collapse to one row before clustering: repeats shatter every density clusterer."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from analysis.topics.geometry import IntArray

KeyArray = NDArray[np.uint64]

_DIGITS = re.compile(r"\d+")
_OTHER = re.compile(r"[\W_]+")


def text_key(text: str) -> int:
    """Return a 64-bit key that texts share when only case, digits, spacing or punctuation differ."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    plain = _OTHER.sub(" ", _DIGITS.sub("0", folded)).strip()
    # A text of nothing but symbols ("???", an emoji) would otherwise collapse with every other such text.
    return int.from_bytes(blake2b((plain or folded.strip()).encode(), digest_size=8).digest(), "little")


def distinct(texts: Sequence[str]) -> tuple[IntArray, IntArray, KeyArray]:
    """Group near-identical texts.

    Parameters
    ----------
    texts
        n texts.

    Returns
    -------
    tuple
        Row of the first text of each group (m,), the group of every text (n,), the key of each group (m,).
        Groups are numbered in order of first appearance.
    """
    keys = np.fromiter((text_key(text) for text in texts), dtype=np.uint64, count=len(texts))
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")
    number = np.empty(len(order), dtype=np.int64)
    number[order] = np.arange(len(order))
    rows = first[order].astype(np.int64)
    return rows, number[inverse], keys[rows]
