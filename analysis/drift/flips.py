"""Statistics of matched rows and their null distribution by flipping the signs of whole sessions.

Rows are matched into strata (one question each). A current row weighs n0/n of its stratum, a reference row
-n1/n, so that a stratum adds (n1 n0/n) times the difference of its windows' means, whatever the mix of
strata in either window. Under the null hypothesis what each session adds has mean zero, and sessions are
independent; so its sign may be flipped, however many questions a session holds and however alike its
answers are (the wild cluster bootstrap, Cameron, Gelbach & Miller, 2008, doi:10.1162/rest.90.3.414). Means
of a stratum are estimated from few sessions: the scores are enlarged by sqrt(s / (s - 1)), s its sessions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.linalg import eigh

from analysis.drift.arrays import Bools, Floats, Ints

LOUDEST_CELLS = 8


@dataclass(frozen=True, eq=False)
class FlipDraw:
    """A batch of signs of the groups (b, g); ``observed``: none is flipped and the plain total is meant."""

    signs: Floats
    observed: bool = False

    @classmethod
    def random(cls, n: int, n_groups: int, rng: np.random.Generator) -> FlipDraw:
        """Return ``n`` random assignments of signs."""
        return cls(2.0 * rng.integers(0, 2, (n, n_groups)) - 1.0)

    def labels(self, eligible: Bools | None = None) -> Floats:
        """Return the signs; ineligible groups are 0."""
        return self.signs if eligible is None else self.signs * eligible


@dataclass(frozen=True, eq=False)
class Strata:
    """Matched rows (k,): the stratum of each, its group, and whether it is current."""

    stratum: Ints
    groups: Ints
    is_current: Bools

    @property
    def n_groups(self) -> int:
        """Number of sessions that take part."""
        return int(self.groups.max()) + 1

    @property
    def overlap(self) -> float:
        """Return the effective number of compared rows: the sum of n1 n0 / n over strata."""
        n, n1 = np.bincount(self.stratum), np.bincount(self.stratum, self.is_current)
        return float((n1 * (n - n1) / n).sum())

    def scores(self, features: Floats) -> Scores:
        """Return what each session adds to the summed difference of ``features`` (k, f)."""
        n, n1 = np.bincount(self.stratum).astype(np.float64), np.bincount(self.stratum, self.is_current)
        weight = np.where(self.is_current, 1.0 - n1[self.stratum] / n[self.stratum], -(n1 / n)[self.stratum])
        pairs = np.unique(self.stratum * self.n_groups + self.groups)
        sessions = np.bincount(pairs // self.n_groups, minlength=len(n)).astype(np.float64)
        enlarged = np.sqrt(sessions / np.maximum(sessions - 1.0, 1.0))[self.stratum]
        centred = self.centred(features)
        rows = np.arange(len(self.groups))
        member = sparse.csr_matrix((weight * enlarged, (self.groups, rows)), shape=(self.n_groups, len(rows)))
        return Scores(np.asarray(member @ centred), weight @ centred, self.overlap)

    def centred(self, features: Floats) -> Floats:
        """Return features (k, f) less their stratum's mean."""
        n = np.bincount(self.stratum).astype(np.float64)
        rows = np.arange(len(self.stratum))
        mean = sparse.csr_matrix((1.0 / n[self.stratum], (self.stratum, rows)), shape=(len(n), len(rows)))
        return np.asarray(features - (mean @ features)[self.stratum])

    def session_axes(self, features: Floats, k: int) -> Floats:
        """Return the ``k`` axes (f, k) along which whole sessions differ most within their strata."""
        centred = self.centred(features)
        rows = np.arange(len(self.groups))
        member = sparse.csr_matrix((np.ones(len(rows)), (self.groups, rows)), shape=(self.n_groups, len(rows)))
        sums = np.asarray(member @ centred)
        f = sums.shape[1]
        return np.asarray(eigh(sums.T @ sums, subset_by_index=(max(0, f - k), f - 1))[1][:, ::-1])


@dataclass(frozen=True, eq=False)
class Scores:
    """Contributions of sessions (g, f), their plain total (f,), and the effective number of compared rows."""

    units: Floats
    total: Floats
    overlap: float

    def sums(self, draw: FlipDraw) -> Floats:
        """Return the summed difference under each draw, (b, f)."""
        return self.total[None] if draw.observed else np.asarray(draw.signs @ self.units)

    def standardised(self, sums: Floats) -> Floats:
        """Return sums (b, f) in standard deviations of flipping."""
        deviation = np.sqrt((self.units**2).sum(axis=0))
        return np.asarray(np.divide(sums, deviation, out=np.zeros_like(sums), where=deviation > 1e-9))

    def resampled(self, signs: Floats) -> Floats:
        """Return the total, and totals as they might have come out, (b + 1, f)."""
        return np.concatenate([self.total[None], self.total + signs @ self.units])


@dataclass(frozen=True, eq=False)
class FlippedShift:
    r"""Squared length of the summed difference of features, :math:`T = \|\sum_g u_g\|^2`.

    With random Fourier features it is a maximum mean discrepancy within strata. ``spread`` is the variance
    of one message's features.
    """

    scores: Scores
    spread: float

    def values(self, draw: FlipDraw) -> Floats:
        """Return the statistic under each draw, (b,)."""
        sums = self.scores.sums(draw)
        return np.asarray(np.einsum("ij,ij->i", sums, sums))

    def effect(self, signs: Floats) -> Floats:
        """Return the shift in spreads of one message: about the share of the answers that moved, (b + 1,)."""
        sums = self.scores.resampled(signs)
        noise = float((self.scores.units**2).sum())
        # A resampled total carries the noise of the sample and its own.
        own = noise * np.where(np.arange(len(sums)) == 0, 1.0, 2.0)
        length = np.maximum(0.0, np.einsum("ij,ij->i", sums, sums) - own)
        return np.asarray(np.minimum(1.0, np.sqrt(length / self.spread) / max(1.0, self.scores.overlap)))


@dataclass(frozen=True, eq=False)
class FlippedCells:
    """Mean absolute standardised change of the eight cells of answers that changed most."""

    scores: Scores

    def values(self, draw: FlipDraw) -> Floats:
        """Return the statistic under each draw, (b,)."""
        size = np.abs(self.scores.standardised(self.scores.sums(draw)))
        m = min(LOUDEST_CELLS, size.shape[1])
        return np.asarray(np.partition(size, size.shape[1] - m, axis=1)[:, -m:].mean(axis=1))

    def effect(self, signs: Floats) -> Floats:
        """Return the change of share of the cell that changed most, (b + 1,)."""
        strongest = int(np.abs(self.scores.standardised(self.scores.total[None])).argmax())
        change = self.scores.resampled(signs)[:, strongest]
        return np.asarray(np.maximum(0.0, change * np.sign(change[0])) / max(1.0, self.scores.overlap))


@dataclass(frozen=True, eq=False)
class FlippedAxes:
    """Sum of squared standardised shifts along the axes in which sessions differ most (model, tone, length).

    ``reach`` (f,): twice the standard deviation of one answer along each axis.
    """

    scores: Scores
    reach: Floats

    def values(self, draw: FlipDraw) -> Floats:
        """Return the statistic under each draw, (b,)."""
        return np.asarray((self.scores.standardised(self.scores.sums(draw)) ** 2).sum(axis=1))

    def effect(self, signs: Floats) -> Floats:
        """Return the shift along the strongest axis in twice its standard deviation, at most 1, (b + 1,)."""
        strongest = int(np.abs(self.scores.standardised(self.scores.total[None])).argmax())
        change = self.scores.resampled(signs)[:, strongest]
        size = np.maximum(0.0, change * np.sign(change[0])) / max(1.0, self.scores.overlap)
        return np.asarray(np.minimum(1.0, size / max(1e-12, float(self.reach[strongest]))))
