"""Whether a change is one of wording or of meaning."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import BinaryIO, cast

import numpy as np

from analysis.drift.arrays import Floats, Ints, nearest
from analysis.drift.cells import lloyd
from analysis.drift.pooled import Windows

LEAST_SHARE = 0.2
LEAST_SIGNAL = 5.0
LOUDEST_QUIET = 0.4
LEAST_ROWS = 10
LEAST_COSINE = 0.08
CELLS = 16
ROWS_A_CELL = 60
MOST_ROWS = 20_000


def is_style(given: Windows, seed: int, kinds: tuple[Ints, Ints] | None = None) -> bool:
    r"""Return whether the windows differ by how things are said, not by what is said.

    Vectors of the built-in embedding model: whether at least a fifth of the energy of the shift of the mean
    lies along twelve stored directions of wording (courtesy, casual tone, haste, misspelling, instructions
    to a model), each window's sampling error over sessions taken off:

    .. math:: \frac{\|A \delta\|^2 - e_A}{\|\delta\|^2 - e} \ge 0.2, \quad \|A \delta\|^2 \ge 5 e_A

    A random direction would have 3 %. The directions were learnt from the same requests written in
    different ways (``scripts/fit_style_axes.py``); another language is not among them. Vectors of any other
    model: whether the parts of the traffic move the same way (mean pairwise cosine of their shifts above
    .08), which takes a common change of subject for style too.

    Parameters
    ----------
    given : two windows.
    seed : of the parts that are fitted for other models.
    kinds : the parts of reference and current rows, (n,) and (m,); ``None``: cells of the rows less their
        window's mean, since a change of style may carry every row out of the cell of its topic.
    """
    axes = _axes()
    if kinds is None and axes.fit(given):
        return _share_of_wording(given, axes.wording) >= LEAST_SHARE
    return mean_cosine(_shifts(given, *(kinds or _centred_cells(given, seed)))) > LEAST_COSINE


def mean_cosine(shifts: Floats) -> float:
    """Return the mean pairwise cosine of shift vectors (t, d); 0 for fewer than three."""
    norms = np.linalg.norm(shifts, axis=1)
    unit = shifts[norms > 1e-9] / norms[norms > 1e-9, None]
    if len(unit) < 3:
        return 0.0
    total = unit.sum(axis=0)
    return float((total @ total - len(unit)) / (len(unit) * (len(unit) - 1)))


@dataclass(frozen=True, eq=False)
class _Axes:
    """Orthonormal directions of one model: ``wording`` (a, d) and those along which it hardly varies (q, d)."""

    wording: Floats
    quiet: Floats

    def fit(self, given: Windows) -> bool:
        """Whether the rows come from the model of these axes."""
        rows = np.concatenate([_some(given.reference), _some(given.current)])
        q, d = self.quiet.shape
        if rows.shape[1] != d:
            return False
        centred = rows - rows.mean(axis=0)
        energy = float(np.einsum("ij,ij->", centred, centred))
        return bool(float(((centred @ self.quiet.T) ** 2).sum()) < LOUDEST_QUIET * energy * q / d)


@cache
def _axes() -> _Axes:
    with files("analysis.drift").joinpath("style_axes.npz").open("rb") as file, np.load(cast(BinaryIO, file)) as stored:
        return _Axes(stored["axes"], stored["quiet"])


def _share_of_wording(given: Windows, axes: Floats) -> float:
    """Return the share of the shift's energy along the axes, 0 where noise alone may explain it."""
    (mean0, error0, along0), (mean1, error1, along1) = (
        _mean_and_errors(rows, groups, axes)
        for rows, groups in ((given.reference, given.reference_groups), (given.current, given.current_groups))
    )
    shift = mean1 - mean0
    signal, noise = float(((axes @ shift) ** 2).sum()), along0 + along1
    everything = float(shift @ shift) - error0 - error1
    if signal < LEAST_SIGNAL * noise or everything <= 0.0:
        return 0.0
    return (signal - noise) / max(everything, signal - noise)


def _mean_and_errors(rows: Floats, groups: Ints, axes: Floats) -> tuple[Floats, float, float]:
    """Return the mean (d,) and its expected squared error over groups, in all directions and along the axes."""
    if len(rows) > MOST_ROWS:
        kept = np.linspace(0, len(rows) - 1, MOST_ROWS).astype(np.int64)
        rows, groups = rows[kept], groups[kept]
    mean = rows.mean(axis=0)
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order], prepend=-1))
    sums = (rows - mean)[order]
    if len(starts) < len(rows):
        sums = np.add.reduceat(sums, starts, axis=0)
    sums /= len(rows)
    return mean, float(np.einsum("ij,ij->", sums, sums)), float(((sums @ axes.T) ** 2).sum())


def _some(rows: Floats) -> Floats:
    """Return at most ``MOST_ROWS`` rows at equal steps."""
    return rows if len(rows) <= MOST_ROWS else rows[np.linspace(0, len(rows) - 1, MOST_ROWS).astype(np.int64)]


def _centred_cells(given: Windows, seed: int) -> tuple[Ints, Ints]:
    """Return coarse cells of reference and current rows less their window's mean."""
    windows = [rows - rows.mean(axis=0) for rows in (given.reference, given.current)]
    rows = np.concatenate(windows)
    k = max(3, min(CELLS, len(rows) // ROWS_A_CELL))
    cell = nearest(rows, lloyd(rows, k, np.random.default_rng([seed, 22])))[0]
    return cell[: len(windows[0])], cell[len(windows[0]) :]


def _shifts(given: Windows, first: Ints, second: Ints) -> Floats:
    """Return by how much the mean of each part with enough rows moved, (t, d)."""
    both = np.intersect1d(first, second)
    moved = [
        given.current[second == part].mean(axis=0) - given.reference[first == part].mean(axis=0)
        for part in both
        if min((first == part).sum(), (second == part).sum()) >= LEAST_ROWS
    ]
    return np.array(moved) if moved else np.zeros((0, given.reference.shape[1]))
