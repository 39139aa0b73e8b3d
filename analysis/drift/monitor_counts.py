"""What a monitor counts messages by: a partition learnt on the reference, and witnesses learnt on the stream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.drift.arrays import Bools, Floats, Ints, nearest
from analysis.drift.cells import lloyd

COMPONENTS = 64
SEEN_BY_WITNESS = 32
DIRECTIONS = 16
CELLS = (32, 256)
FAR = (0.8, 0.95)
LEARN_ROWS = 8_000
SLICE_ROWS = 512
POOL_ROWS = 1_000
NEIGHBOURS = (12, 40)
CROWDED = (0.9, 0.97, 0.99)
SHARES = (0.5, 0.2, 0.15, 0.15)
BEYOND = 1e-3
BLUR = 1e-2
_PARTITION = ("mean", "axes", "fine", "coarse", "slice_rows", "radii", "outside", "middle", "usual", "pool", "judges")


def short(rows: Floats) -> Floats:
    """Return rows at the precision that is stored, so that a restored monitor continues exactly alike."""
    return rows.astype(np.float16).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Partition:
    """Cells, distances and sides of axes, learnt on one part of the reference.

    Attributes
    ----------
    mean, axes : (d,) and (d, p) projection.
    fine, coarse : centres of cells, (k, p).
    slice_rows, radii : rows (s, p) and squared distances from them beyond which a message is far.
    outside : squared distances from the projection's plane beyond which a message is far.
    middle : (16,) medians along the leading axes.
    usual : (f,) share of each count among the rows it was learnt on.
    pool, judges : projected rows for witnesses: half to search in, half to set their limits.
    """

    mean: Floats
    axes: Floats
    fine: Floats
    coarse: Floats
    slice_rows: Floats
    radii: Floats
    outside: Floats
    middle: Floats
    usual: Floats
    pool: Floats
    judges: Floats

    @classmethod
    def learn(cls, rows: Floats, rng: np.random.Generator) -> Partition:
        """Learn from rows (n, d), one a session."""
        rows = rows[:LEARN_ROWS]
        mean = rows.mean(axis=0)
        spread = (rows - mean).T @ (rows - mean)
        axes = short(np.ascontiguousarray(np.linalg.eigh(spread)[1][:, ::-1][:, :COMPONENTS]))
        scores = _projected(rows, mean, axes)
        coarse, fine = (lloyd(scores[:, :-1], max(2, min(k, len(rows) // 4)), rng) for k in CELLS)
        kept, half = short(scores[: min(SLICE_ROWS, len(rows) // 2), :-1]), len(rows) // 2
        scale = float(np.sqrt(((rows - mean) ** 2).sum(axis=1).mean()))
        radii = _clear_of_ties(nearest(scores[half:, :-1], kept)[1], FAR, scale**2)
        outside = _clear_of_ties(scores[:, -1], FAR, scale**2)
        seen = short(scores[:, :-1][:, :SEEN_BY_WITNESS])
        middle = np.concatenate([_clear_of_ties(side, (0.5,), scale) for side in scores[:, :-1][:, :DIRECTIONS].T])
        cells = [np.bincount(nearest(scores[:, :-1], centres)[0], minlength=len(centres)) for centres in (fine, coarse)]
        shares = [(count + 0.5) / (len(rows) + 1.0) for count in cells]
        usual = np.concatenate([*shares, 1.0 - np.array(FAR), 1.0 - np.array(FAR), np.full(len(middle), 0.5)])
        pool, judges = seen[:half][:POOL_ROWS], seen[half:][:POOL_ROWS]
        return cls(mean, axes, fine, coarse, kept, radii, outside, middle, usual, pool, judges)

    def scores(self, rows: Floats) -> Floats:
        """Return rows (n, d) projected, and at the end what the projection leaves out, squared, (n, p + 1)."""
        return _projected(rows, self.mean, self.axes)

    def of(self, scores: Floats) -> Bools:
        """Return what each projected row (n, p + 1) falls into, (n, f)."""
        inner = np.ascontiguousarray(scores[:, :-1])
        blocks = [nearest(inner, cells)[0][:, None] == np.arange(len(cells)) for cells in (self.fine, self.coarse)]
        blocks.append(nearest(inner, self.slice_rows)[1][:, None] > self.radii)
        blocks.append(scores[:, -1:] > self.outside)
        blocks.append(scores[:, : len(self.middle)] > self.middle)
        return np.concatenate(blocks, axis=1)

    @property
    def weights(self) -> Floats:
        """Return the share of each count in the level, (f,): families alike, however many counts they have."""
        sizes = len(self.fine), len(self.coarse), len(self.radii) + len(self.outside), len(self.middle)
        return np.concatenate([np.full(n, share / n) for n, share in zip(sizes, SHARES, strict=True)])

    def arrays(self) -> dict[str, Any]:
        """Return what is stored."""
        halves = ("axes", "slice_rows", "pool", "judges")
        given = {name: getattr(self, name) for name in _PARTITION}
        return {name: values.astype(np.float16) if name in halves else values for name, values in given.items()}

    @classmethod
    def restored(cls, stored: Mapping[str, Any]) -> Partition:
        """Return what ``arrays`` gave."""
        halves = ("axes", "slice_rows", "pool", "judges")
        return cls(*(stored[name].astype(np.float32) if name in halves else stored[name] for name in _PARTITION))


@dataclass(frozen=True, eq=False)
class Witness:
    """Where messages of the stream stood closer together than those of the reference.

    ``rows`` (n, 32) are the reference pool and after it messages of the stream, ``n_pool`` how many are the
    former, ``limits`` (2, 3) the crowdedness above which a message counts.
    """

    rows: Floats
    n_pool: int
    limits: Floats

    @classmethod
    def learn(cls, partition: Partition, stream: Floats) -> Witness:
        """Learn from projected messages (n, 32) of the stream."""
        rows = np.concatenate([partition.pool, stream])
        # Copies of one text are equally near: without a difference, rounding would choose among them.
        blurred = np.random.default_rng(len(rows)).standard_normal(rows.shape) * BLUR * (rows.std() + 1e-9)
        rows = short(rows + blurred)
        plain = cls(rows, len(partition.pool), np.zeros((len(NEIGHBOURS), len(CROWDED))))
        crowds = plain._crowds(partition.judges)
        return cls(rows, plain.n_pool, np.stack([_clear_of_ties(column, CROWDED, 1.0) for column in crowds.T]))

    def of(self, scores: Floats) -> Bools:
        """Return by which counts each projected row (n, p) is crowded, (n, 6)."""
        crowds = self._crowds(scores[:, : self.rows.shape[1]])
        return np.asarray(crowds[:, :, None] > self.limits).reshape(len(scores), -1)

    @property
    def usual(self) -> Floats:
        """Return the share of the reference in each count, (6,)."""
        return np.tile(1.0 - np.array(CROWDED), len(NEIGHBOURS))

    @property
    def weights(self) -> Floats:
        """Return the part of each count in the level, (6,)."""
        return np.full(self.limits.size, 1.0 / self.limits.size)

    def _crowds(self, scores: Floats) -> Floats:
        """Return the share of the stream among the nearest rows, nearer ones first to break ties, (n, 2)."""
        k = min(max(NEIGHBOURS), len(self.rows) - 1)
        order = _nearest_rows(scores, self.rows, k)
        mine = (order >= self.n_pool).astype(np.float64)
        rank = 1.0 / np.arange(1, k + 1)
        columns = [mine[:, :few].mean(axis=1) + 1e-3 * (mine[:, :few] @ rank[:few]) for few in NEIGHBOURS]
        return np.column_stack(columns)


def _clear_of_ties(values: Floats, quantiles: Sequence[float], scale: float) -> Floats:
    """Return quantiles, each moved beyond the values that equal it by a thousandth of the scale.

    Messages of one text have one value up to the rounding of a product, which differs with the size of a block: on
    the limit itself they would fall on both sides of it, the reference on one and the stream on the other.
    """
    return np.asarray(np.quantile(values, quantiles) + BEYOND * scale)


def _projected(rows: Floats, mean: Floats, axes: Floats) -> Floats:
    centred = rows - mean
    scores = centred @ axes
    left = np.einsum("ij,ij->i", centred, centred) - np.einsum("ij,ij->i", scores, scores)
    return np.column_stack([scores, left])


def _nearest_rows(scores: Floats, rows: Floats, k: int) -> Ints:
    """Return the k nearest rows of each score, nearest first, (n, k)."""
    squares = np.einsum("ij,ij->i", rows, rows)
    found = np.empty((len(scores), k), dtype=np.int64)
    for start in range(0, len(scores), 512):
        distance = squares - 2.0 * (scores[start : start + 512] @ rows.T)
        few = np.argpartition(distance, k - 1, axis=1)[:, :k]
        order = np.take_along_axis(distance, few, axis=1).argsort(axis=1, kind="stable")
        found[start : start + 512] = np.take_along_axis(few, order, axis=1)
    return found
