"""When a service's set of documents changed: many documents or texts at once that it never gave before."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

WITHIN = np.timedelta64(24, "h")
SETTLED = np.timedelta64(7, "D")
LEAST = 5
SHARE = 0.1
TIMES = 5.0


@dataclass(frozen=True)
class NewDocuments:
    """A burst of new texts: from when on, how many of the known, and how many of them replace an older text."""

    at: np.datetime64
    texts: int
    known: int
    replaced: int


def find_new_documents(documents: npt.ArrayLike, first_given: npt.ArrayLike) -> list[NewDocuments]:
    """Return the bursts of texts given for the first time.

    A set is not known until a week of it was seen. A burst is at least five new texts within a day, a tenth of those
    known before, and five times as many a day as in the week before it.

    Parameters
    ----------
    documents
        (n,) document of each text.
    first_given
        (n,) when each text was first given.
    """
    order = np.argsort(np.asarray(first_given, dtype="datetime64[us]"), kind="stable")
    when = np.asarray(first_given, dtype="datetime64[us]")[order]
    names = np.asarray(documents, dtype=object)[order]
    found: list[NewDocuments] = []
    i = int(np.searchsorted(when, when[0] + SETTLED)) if len(when) else 0
    while i < len(when):
        j = int(np.searchsorted(when, when[i] + WITHIN))
        before = int(np.searchsorted(when, when[i] - SETTLED))
        usual = (i - before) / 7.0 if when[i] - SETTLED > when[0] + SETTLED else (i - before) / 28.0
        if j - i >= max(LEAST, SHARE * i, TIMES * usual):
            known = set(names[:i])
            replaced = sum(name in known for name in names[i:j])
            found.append(NewDocuments(when[i], j - i, i, replaced))
            i = j
        else:
            i += 1
    return found
