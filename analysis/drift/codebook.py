"""A frozen codebook: two cells and a novelty for every row, so that a window costs a count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from analysis.drift.arrays import Floats, Groups, Ints, as_groups, as_rows, nearest
from analysis.drift.cells import lloyd
from analysis.drift.comparison import NEEDED, conclude, effect_interval, parts_of, permuted
from analysis.drift.explain import NOTHING
from analysis.drift.permutation import Draw, FreeDraw
from analysis.drift.pooled import MIN_GROUPS, MIN_ROWS, merged_blocks
from analysis.drift.result import DriftResult, insufficient
from analysis.drift.statistics.excess import Excess
from analysis.drift.statistics.jensen_shannon import total_variation

CELLS = (32, 256)
SLICE_ROWS = 2_000
COMPONENTS = 64
NOVEL = (0.90, 0.95, 0.98)
LOUDEST_CELLS = 4
LEARN_ROWS = 30_000
NAMES = ("mix", "cell_excess", "novelty")


@dataclass(frozen=True, eq=False)
class Codes:
    """What is stored of n rows: 12 bytes each.

    ``coarse``, ``fine`` (n,) int16 cells; ``novelty`` (n,) float32, the quantile of the row's distance to the
    codebook's slice among rows of the codebook's own time (1: farther than all); ``version`` of the codebook,
    int32 in the store.
    """

    coarse: npt.NDArray[np.int16]
    fine: npt.NDArray[np.int16]
    novelty: npt.NDArray[np.float32]
    version: int

    def __len__(self) -> int:
        return len(self.coarse)

    @classmethod
    def joined(cls, parts: Sequence[Codes]) -> Codes:
        """Return the codes of several sets of rows, one after another.

        Raises
        ------
        ValueError
            If there is none, or their codebooks differ.
        """
        versions = {part.version for part in parts}
        if len(versions) != 1:
            raise ValueError(f"codes of one codebook are joined, got those of {sorted(versions)}; encode again")
        return cls(
            np.concatenate([part.coarse for part in parts]),
            np.concatenate([part.fine for part in parts]),
            np.concatenate([part.novelty for part in parts]),
            versions.pop(),
        )

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return arrays for ``numpy.savez``."""
        return {
            "coarse": self.coarse,
            "fine": self.fine,
            "novelty": self.novelty,
            "version": np.array(self.version, dtype=np.int32),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Codes:
        """Return the codes that ``to_arrays`` was given."""
        return cls(arrays["coarse"], arrays["fine"], arrays["novelty"], int(arrays["version"]))


@dataclass(frozen=True, eq=False)
class Codebook:
    """Cells and a slice of rows learnt once; every later row is encoded by them alone.

    Attributes
    ----------
    version
        Written with every code; codes of different versions are never compared.
    mean, axes
        (d,) and (d, p) projection on the leading principal components.
    centres
        Centres of the coarse and the fine cells, (32, p) and (256, p).
    slice_rows
        (s, d) rows against which novelty is measured.
    distances
        (q,) sorted distances to the slice of rows that are not in it.
    """

    version: int
    mean: Floats
    axes: Floats
    centres: tuple[Floats, Floats]
    slice_rows: Floats
    distances: Floats

    @classmethod
    def fit(cls, rows: Floats, *, version: int = 1, rng: int = 0) -> Codebook:
        """Learn a codebook from rows (n, d) of some weeks.

        Leave these rows out of what is compared later: they lie nearer to what was learnt from them than others.

        Raises
        ------
        ValueError
            If there are fewer than 30 rows or they are malformed.
        """
        given = as_rows(rows, "rows")
        if len(given) < MIN_ROWS:
            raise ValueError(f"a codebook needs at least {MIN_ROWS} rows, got {len(given)}")
        generator = np.random.default_rng([rng, 71])
        given = given[generator.permutation(len(given))[:LEARN_ROWS]]
        n_slice = min(SLICE_ROWS, len(given) // 2)
        mean = given.mean(axis=0)
        axes = np.ascontiguousarray(np.linalg.eigh((given - mean).T @ (given - mean))[1][:, ::-1][:, :COMPONENTS])
        scores = (given - mean) @ axes
        coarse, fine = (lloyd(scores, min(k, len(given) // 4), generator) for k in CELLS)
        learnt = given[:n_slice]
        distances = np.sort(np.sqrt(nearest(given[n_slice : n_slice + 4 * SLICE_ROWS], learnt)[1]))
        return cls(version, mean, axes, (coarse, fine), learnt, distances)

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return arrays for ``numpy.savez``."""
        arrays = {name: getattr(self, name) for name in ("mean", "axes", "slice_rows", "distances")}
        return {
            **arrays,
            "coarse_centres": self.centres[0],
            "fine_centres": self.centres[1],
            "version": np.array(self.version, dtype=np.int32),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Codebook:
        """Return the codebook that ``to_arrays`` was given."""
        centres = arrays["coarse_centres"], arrays["fine_centres"]
        learnt = arrays["slice_rows"], arrays["distances"]
        return cls(int(arrays["version"]), arrays["mean"], arrays["axes"], centres, *learnt)

    def encode(self, rows: Floats) -> Codes:
        """Return the codes of rows (n, d)."""
        given = as_rows(rows, "rows")
        if not len(given):
            empty = np.zeros(0, dtype=np.int16)
            return Codes(empty, empty, np.zeros(0, dtype=np.float32), self.version)
        scores = (given - self.mean) @ self.axes
        coarse, fine = (nearest(scores, centres)[0].astype(np.int16) for centres in self.centres)
        distance = np.sqrt(nearest(given, self.slice_rows)[1])
        quantile = np.searchsorted(self.distances, distance, side="right") / len(self.distances)
        return Codes(coarse, fine, quantile.astype(np.float32), self.version)


def compare_codes(  # noqa: PLR0913 - the windows, their groups and the settings of compare
    reference: Codes,
    current: Codes,
    *,
    reference_groups: Groups = None,
    current_groups: Groups = None,
    permutations: int = 499,
    rng: int = 0,
    alpha: float = 0.05,
) -> DriftResult:
    """Compare two windows by their stored codes alone, permuting groups.

    Three families are joined: the mix of the coarse cells (chi-squared), the four fine cells that changed
    most, the share of novel rows at three radii. An alarm of a frozen codebook should be confirmed by
    ``compare`` on the vectors, which fits its cells to both windows. Contributions are shares of the fine
    cells; there are no exemplars without vectors.

    Raises
    ------
    ValueError
        If the codes are of different versions or groups do not match.
    """
    if reference.version != current.version:
        raise ValueError(
            f"codes of codebook {reference.version} and of {current.version} cannot be compared; encode again"
        )
    n = len(reference), len(current)
    first = as_groups(reference_groups, n[0], "reference_groups")
    second = as_groups(current_groups, n[1], "current_groups")
    n_groups = tuple(int(side.max()) + 1 if len(side) else 0 for side in (first, second))
    if min(n) < MIN_ROWS or min(n_groups) < MIN_GROUPS:
        return insufficient(NEEDED, rows=n, groups=(n_groups[0], n_groups[1]))
    generator = np.random.default_rng([rng, 72])
    groups, is_current = merged_blocks(
        np.concatenate([first, second + n_groups[0]]), np.arange(sum(n_groups)) >= n_groups[0], generator
    )
    bounds = _bounds(reference, current, groups, is_current)
    observed = FreeDraw.observed(is_current)
    drawn = permuted(bounds, observed, lambda b: FreeDraw.random(b, is_current, generator), permutations, alpha)
    parts = parts_of(NAMES, bounds, drawn.table, observed)
    sizes = (n, (n_groups[0], n_groups[1]))
    if not drawn.unusual(alpha):
        return conclude(sizes, parts, drawn, NOTHING, alpha)
    return conclude(sizes, parts, drawn, NOTHING, alpha, effect_interval(bounds[drawn.loudest], is_current, generator))


def _bounds(
    reference: Codes, current: Codes, groups: Ints, is_current: npt.NDArray[np.bool_]
) -> tuple[_Loudest, _Loudest, _Loudest]:
    sizes = np.bincount(groups, minlength=len(is_current)).astype(np.float64)

    def excess(columns: Floats) -> Excess:
        return Excess.of(columns, sizes, int(is_current.sum()))

    coarse = np.concatenate([reference.coarse, current.coarse]).astype(np.int64)
    fine = np.concatenate([reference.fine, current.fine]).astype(np.int64)
    novelty = np.concatenate([reference.novelty, current.novelty])
    beyond = [np.bincount(groups, novelty > level, minlength=len(sizes)) for level in NOVEL]
    return (
        _Loudest(excess(_table(groups, coarse, len(sizes))), None, signed=False),
        _Loudest(excess(_table(groups, fine, len(sizes))), LOUDEST_CELLS, signed=True),
        _Loudest(excess(np.column_stack(beyond)), 1, signed=True),
    )


def _table(groups: Ints, cell: Ints, g: int) -> Floats:
    k = int(cell.max()) + 1
    return np.bincount(groups * k + cell, minlength=g * k).reshape(g, k).astype(np.float64)


@dataclass(frozen=True, eq=False)
class _Loudest:
    """Sum of squares of the ``most`` largest standardised changes, or of all; ``signed``: of rises only."""

    excess: Excess
    most: int | None
    signed: bool

    def values(self, draw: Draw) -> Floats:
        """Return the statistic under each labelling, (b,)."""
        z = self.excess.values(draw)
        squares = np.maximum(z, 0.0) ** 2 if self.signed else z**2
        if self.most is not None and self.most < squares.shape[1]:
            squares = np.partition(squares, squares.shape[1] - self.most, axis=1)[:, -self.most :]
        return np.asarray(squares.sum(axis=1))

    def effect(self, before: Floats, after: Floats) -> Floats:
        """Return the change of share of the loudest count, or of all together, (b,)."""
        if self.most is None:
            return total_variation(before @ self.excess.counts, after @ self.excess.counts)
        strongest = int(self.excess.standardised(after[0]).argmax())
        return np.maximum(0.0, self.excess.rise(before, after, strongest))
