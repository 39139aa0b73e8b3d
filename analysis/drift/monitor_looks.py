"""What a monitor sees when it looks back: the newest sessions and the reference compared as two windows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import zeta

from analysis.drift.arrays import Bools, Floats, Ints
from analysis.drift.permutation import joint_p_value
from analysis.drift.pooled import MIN_GROUPS, Pooled, pool, windows
from analysis.drift.statistics import VERDICT_FAMILIES, VERDICT_WEIGHTS

FIRST = 40
LEAST_STEP, MOST_STEP, GROWTH = 30, 500, 2
REFERENCE = 1_500
LONGEST = 1_600
SHORTER = 4
OF_LONG = 0.6
LATER = 10.0
STAGES = (99, 999, 4_999, 19_999, 99_999)
ENOUGH, HOPELESS, PROMISING = 1.0, 3.0, 3.0
BATCH = 500


@dataclass(frozen=True, eq=False)
class Kept:
    """Sessions of a window: vectors at one byte a number, ``codes`` (n, d) times ``scale`` (n,), and strata (n,)."""

    codes: npt.NDArray[np.int8]
    scale: Floats
    strata: npt.NDArray[np.uint8]

    @classmethod
    def of(cls, vectors: Floats, strata: Ints) -> Kept:
        """Keep vectors (n, d)."""
        scale = np.maximum(np.abs(vectors).max(axis=1, initial=0.0), 1e-12).astype(np.float32) / 127.0
        return cls(np.rint(vectors / scale[:, None]).astype(np.int8), scale, strata.astype(np.uint8))

    def __len__(self) -> int:
        """Return the number of sessions."""
        return len(self.codes)

    def __getitem__(self, part: slice) -> Kept:
        """Return some of the sessions."""
        return Kept(self.codes[part], self.scale[part], self.strata[part])

    def where(self, chosen: Bools) -> Kept:
        """Return the sessions that are chosen (n,)."""
        return self if chosen.all() else Kept(self.codes[chosen], self.scale[chosen], self.strata[chosen])

    def vectors(self) -> Floats:
        """Return the vectors as float32, (n, d)."""
        return np.asarray(self.codes * self.scale[:, None], dtype=np.float32)

    def followed_by(self, others: Kept) -> Kept:
        """Return these sessions and others after them."""
        mine, more = vars(self).values(), vars(others).values()
        return Kept(*(np.concatenate(pair) for pair in zip(mine, more, strict=True)))


@dataclass(frozen=True, eq=False)
class StratifiedDraw:
    """Labels dealt within each stratum: as many are called current there as were observed.

    ``keys`` (b, g) order the sessions of ``strata`` (g,); ``is_current`` (g,) is what was observed.
    """

    keys: Floats
    strata: Ints
    is_current: Bools

    def labels(self, eligible: Bools | None = None) -> Floats:
        """Return (b, g) float32: 1 where a session is called current; ineligible ones are 0."""
        return self._over_all if eligible is None else self._dealt(eligible)

    @cached_property
    def _over_all(self) -> Floats:
        return self._dealt(np.ones(len(self.strata), dtype=bool))

    def _dealt(self, eligible: Bools) -> Floats:
        found = np.zeros(self.keys.shape, dtype=np.float32)
        for stratum in np.unique(self.strata[self.is_current]):
            inside = self.strata == stratum
            n, mine = int((inside & self.is_current).sum()), np.flatnonzero(inside & eligible)
            keys = self.keys[:, mine]
            last = np.partition(keys, n - 1, axis=1)[:, n - 1 : n]
            found[:, mine] = keys <= last
        return found


class Looks:
    """Compares the newest sessions with the reference whenever there are half as many more.

    A look compares two windows with the reference, the newest ``LONGEST`` sessions and the last quarter of these, by
    the families of ``compare`` and their joint permutation p-value; labels are permuted within strata. Look ``k``
    may use up no more than its part of the level, proportional to (k + 10)^-1.5 (alpha spending: Lan and DeMets, 1983,
    doi:10.1093/biomet/70.3.659): the probability that any p-value, at any look ever, is at most its part of the level
    is at most the level. So the largest of part / p is evidence in the sense of ``MonitorState``.

    Permutations are drawn in stages, each with labellings of its own: the next and finer one only where an alarm is
    near. An alarm can come from the last stage alone, so that stopping early cannot make a p-value smaller.

    Parameters
    ----------
    reference, recent : what is compared.
    alpha, level : the monitor's level, and the share of it that all looks together may use up.
    seen, look, best : sessions so far, the number of the next look, and the largest evidence.
    """

    def __init__(  # noqa: PLR0913 - what is stored
        self,
        reference: Kept,
        recent: Kept,
        alpha: float,
        level: float,
        seed: int,
        *,
        seen: int = 0,
        look: int = 0,
        best: float = 1.0,
    ) -> None:
        self.reference, self.recent = reference, recent
        self.seen, self.look, self.best = seen, look, best
        self._alpha, self._level, self._seed = alpha, level, seed

    @classmethod
    def begin(cls, vectors: Floats, strata: Ints, alpha: float, level: float, seed: int) -> Looks:
        """Begin with a reference (n, d), one row a session in random order."""
        kept = Kept.of(vectors[:REFERENCE], strata[:REFERENCE])
        return cls(kept, kept[:0], alpha, level, seed)

    def add(self, vectors: Floats, strata: Ints) -> float:
        """Take new sessions (m, d) in the order of time; return the largest evidence so far.

        After an alarm there is nothing left to find.
        """
        given = Kept.of(vectors, strata)
        while len(given) and self.best < 1.0 / self._alpha:
            part = given[: due_at(self.look) - self.seen]
            given = given[len(part) :]
            self.recent = self.recent.followed_by(part)[-LONGEST:]
            self.seen += len(part)
            if self.seen == due_at(self.look):
                self.best = max(self.best, *self._evidence())
                self.look += 1
        return self.best

    def _evidence(self) -> Iterator[float]:
        n, part = len(self.recent), self._level * part_of(self.look)
        short = n // SHORTER
        for length, share in ((n, OF_LONG), (short, 1.0 - OF_LONG)) if short >= FIRST else ((n, 1.0),):
            yield share * part / self._p_value(self.recent[-length:], share * part * self._alpha)

    def _p_value(self, window: Kept, needed: float) -> float:
        """Return the p-value of a window, fine enough to be at most ``needed`` where it could be.

        Sessions of a stratum that the reference does not have cannot be dealt again, and say nothing.
        """
        window = window.where(np.isin(window.strata, self.reference.strata))
        if len(window) < MIN_GROUPS:
            return 1.0
        pooled = pool(windows(self.reference.vectors(), window.vectors()), self._seed + 1_000 * self.look)
        strata = _strata(pooled, self.reference.strata, window.strata)
        bounds = [family.bind(pooled) for family in VERDICT_FAMILIES]
        generator = pooled.rng(6)

        def values(keys: Floats) -> Floats:
            draw = StratifiedDraw(keys, strata, pooled.is_current)
            return np.column_stack([bound.values(draw) for bound in bounds]).astype(np.float64)

        observed, p_value = values((~pooled.is_current).astype(np.float64)[None]), 1.0
        for n in STAGES:
            sizes = [min(BATCH, n - start) for start in range(0, n, BATCH)]
            drawn = [values(generator.random((size, len(strata)))) for size in sizes]
            p_value = joint_p_value(np.concatenate([observed, *drawn]), VERDICT_WEIGHTS)
            if needed * n >= ENOUGH or p_value > max(HOPELESS * needed, PROMISING / n):
                break
        return p_value

    def arrays(self) -> dict[str, Any]:
        """Return what is stored."""
        sides = (("reference", self.reference), ("recent", self.recent))
        stored = {f"look_{side}_{name}": values for side, kept in sides for name, values in vars(kept).items()}
        counts = {"look_seen": np.int64(self.seen), "look": np.int64(self.look), "look_best": np.float64(self.best)}
        return stored | counts

    @classmethod
    def restored(cls, stored: Mapping[str, Any], alpha: float, level: float, seed: int) -> Looks:
        """Return what ``arrays`` gave."""
        reference, recent = (
            Kept(*(stored[f"look_{side}_{name}"] for name in ("codes", "scale", "strata")))
            for side in ("reference", "recent")
        )
        seen, look, best = int(stored["look_seen"]), int(stored["look"]), float(stored["look_best"])
        return cls(reference, recent, alpha, level, seed, seen=seen, look=look, best=best)


def due_at(look: int) -> int:
    """Return after how many sessions look 0, 1, ... falls due."""
    at = FIRST
    for _ in range(look):
        at += min(MOST_STEP, max(LEAST_STEP, at // GROWTH))
    return at


def part_of(look: int) -> float:
    """Return the part of the level that look 0, 1, ... may use up; over all looks they sum to 1."""
    return float((look + LATER) ** -1.5 / zeta(1.5, LATER))


def _strata(pooled: Pooled, reference: npt.NDArray[np.uint8], current: npt.NDArray[np.uint8]) -> Ints:
    """Return the stratum of each pooled session, (g,)."""
    found = np.empty(pooled.n_groups, dtype=np.int64)
    for side, strata in ((~pooled.row_is_current, reference), (pooled.row_is_current, current)):
        found[pooled.groups[side]] = strata[pooled.origin[side]]
    return found
