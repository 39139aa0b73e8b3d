"""A monitor that may be looked at after every message: evidence that only a change can let grow."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from analysis.drift.arrays import Bools, Floats, Groups, Ints, as_groups, as_rows, check_same_width
from analysis.drift.monitor_counts import SEEN_BY_WITNESS, Partition, Witness, short
from analysis.drift.monitor_looks import Looks

FORMAT = 2
MIN_SESSIONS = 60
CALIBRATION_ROWS = 4_000
TILTS = np.array([0.5, 0.77, 1.3, 2.0, 6.0, 20.0])
MOST_SESSIONS = 50_000
LARGEST = 1e300
ALL_RESTARTS = 2.1098  # the sum over t of 1 / ((t + 1) ln(t + 1)^2)
GENERATION = 200
MOST_LEARNT_FROM = 800
LIVE_WITNESSES = 3
OF_LOOKS = 0.75
OF_PARTITION = 0.5
MOST_STRATA = 64
NEAR_DUPLICATE = 0.95


@dataclass(frozen=True)
class MonitorState:
    """What a monitor knows so far.

    Attributes
    ----------
    evidence
        The largest so far; 1/``evidence`` is a p-value that holds at every look. 1: none.
    threshold
        Where the evidence alarms: 1/alpha.
    alarm
        Whether it ever was reached; it stays until the monitor is made anew.
    sessions
        How many sessions were bet on.
    needed
        What is missing where the reference is too small to say anything, else empty.
    """

    evidence: float
    threshold: float
    alarm: bool
    sessions: int = 0
    needed: str = ""


class DriftMonitor:
    r"""Watches a stream of messages against a reference, anytime valid.

    Each session counts by its first message. Two kinds of evidence share the level.

    *Looks*, three quarters of it: at 40 sessions, and whenever there are half as many more, the newest sessions and the
    reference are compared as two windows, each look within its part of the level (``Looks``).

    *Bets*, for what is sudden: a message is described by what it falls into, fine and coarse cells, sides of the
    leading axes, distances from the reference, all learnt on one third of the reference; and from the 200th session
    on by whether it stands where earlier messages of the stream stood closer together than the reference does. For
    each such count the rest of the reference and the stream since it was learnt are a bag of which, if nothing
    changed, the newest message is a random draw: its rank ``p`` in the bag, those in the count first and ties broken
    at random, is uniform and independent of all ranks before it. With the share ``q`` of the count in the first
    third and a tilt ``a``, the bet

    .. math:: S_t = a^{1[p_t < q]} / (1 + (a - 1)\, q)

    has expectation one (a conformal test martingale: Vovk, 2021, doi:10.1214/20-STS817). Bets are averaged over
    tilts and over restarts at every session, with weights that sum to one (an e-detector: Shin, Ramdas and Rinaldo,
    2023, doi:10.51387/23-NEJSDS51). The evidence is the largest wealth of any count times its share of the level, so
    that it exceeds 1/alpha ever with probability at most alpha (Ville, 1939), however often one looks.

    Sessions must be exchangeable within their stratum. Where the mix of questions depends on the hour, give hours as
    strata: bags and permutations are then kept within each (Mondrian conformal prediction: Vovk et al., 2005).

    Parameters
    ----------
    reference
        (n, d) vectors.
    alpha
        Probability of ever raising a false alarm.
    reference_groups
        (n,) session of each row. Without it neighbouring rows that are near-identical count as one session, where
        that happens more often than in a random order.
    reference_strata
        (n,) whole numbers below 64, such as the hour of the day; ``None``: all are alike.
    rng
        Seed of everything that is learnt or drawn.

    Raises
    ------
    ValueError
        If vectors are malformed or alpha is not between 0 and 1.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> monitor = DriftMonitor(rng.standard_normal((900, 8)))
    >>> monitor.update(rng.standard_normal((300, 8)), range(300)).alarm
    False
    >>> monitor.update(rng.standard_normal((300, 8)) + 2.0, range(300, 600)).alarm
    True
    """

    def __init__(
        self,
        reference: npt.ArrayLike,
        alpha: float = 0.05,
        *,
        reference_groups: Groups = None,
        reference_strata: npt.ArrayLike | None = None,
        rng: int = 0,
    ) -> None:
        if not 0.0 < alpha < 1.0:
            raise ValueError(f"alpha must lie between 0 and 1, got {alpha}")
        rows = as_rows(reference, "reference")
        groups = _runs(rows, rng) if reference_groups is None else as_groups(reference_groups, len(rows), "reference")
        first = np.sort(np.unique(groups, return_index=True)[1])
        rows, strata = rows[first], _as_strata(reference_strata, len(rows))[first]
        self.alpha = alpha
        self._seen: dict[int, None] = {}
        self._seed = rng
        self._best = 1.0
        self._steps = 0
        self._missing = ""
        if len(rows) < MIN_SESSIONS:
            self._missing = f"a reference of at least {MIN_SESSIONS} sessions, got {len(rows)}"
            return
        generator = np.random.default_rng([rng, 81])
        order = generator.permutation(len(rows))
        rows, strata = rows[order], strata[order]
        self._looks = Looks.begin(rows, strata, alpha, OF_LOOKS, rng)
        third = len(rows) // 3
        self._partition = Partition.learn(rows[:third], generator)
        scores = self._partition.scores(rows[third:])
        self._calibration = short(scores[:CALIBRATION_ROWS, :-1][:, :SEEN_BY_WITNESS])
        self._calibration_strata = strata[third:][:CALIBRATION_ROWS]
        self._recent = self._calibration[:0]
        self._bets = [self._begin(self._partition, scores, strata[third:], OF_PARTITION * self._partition.weights)]
        self._witnesses: list[Witness] = []

    @property
    def state(self) -> MonitorState:
        """The evidence so far."""
        threshold = 1.0 / self.alpha
        return MonitorState(self._best, threshold, self._best >= threshold, self._steps, self._missing)

    def update(
        self, X: npt.ArrayLike, groups: Iterable[object] | None = None, strata: npt.ArrayLike | None = None
    ) -> MonitorState:
        """Take the first message of every session that was not seen before.

        Parameters
        ----------
        X
            (m, d) new messages in the order of time. Cutting a stream into updates changes nothing.
        groups
            (m,) names of their sessions, the same in every update; ``None``: every message is its own.
        strata
            (m,) whole numbers below 64: what a message is only compared within, as the reference's strata are.

        Raises
        ------
        ValueError
            If there is not one group or stratum a message, or the vectors do not fit the reference.
        """
        rows = as_rows(X, "X")
        given = _as_strata(strata, len(rows))
        fresh = self._fresh(groups, len(rows))
        if self._missing or not len(fresh):
            return self.state
        check_same_width(self._partition.mean[None], rows)
        scores, within = self._partition.scores(rows[fresh]), given[fresh]
        self._best = max(self._best, self._looks.add(rows[fresh], within))
        while len(scores):  # up to the session at which the next witness is learnt
            few = min(len(scores), GENERATION - self._steps % GENERATION)
            self._follow(scores[:few], within[:few])
            scores, within = scores[few:], within[few:]
        return self.state

    def _fresh(self, groups: Iterable[object] | None, n: int) -> Ints:
        """Return which messages open a session, and remember the sessions."""
        if groups is None:
            return np.arange(n, dtype=np.int64)
        names = list(groups)
        if len(names) != n:
            raise ValueError(f"groups: expected {n}, one a message, got {len(names)}")
        found = []
        for i, name in enumerate(names):
            key = int.from_bytes(blake2b(str(name).encode(), digest_size=8).digest(), "little")
            if key not in self._seen:
                self._seen[key] = None
                found.append(i)
        for key in list(self._seen)[: max(0, len(self._seen) - MOST_SESSIONS)]:
            del self._seen[key]
        return np.array(found, dtype=np.int64)

    def _follow(self, scores: Floats, strata: Ints) -> None:
        """Bet on projected messages (n, p + 1) of strata (n,), all of one generation."""
        looked_at: list[Partition | Witness] = [self._partition, *self._witnesses]
        for counts, bets in zip(looked_at, self._bets, strict=True):
            for step, (inside, stratum) in enumerate(zip(counts.of(scores), strata, strict=True), start=self._steps):
                tie = np.random.default_rng([self._seed, 83, step, int(bets.total.sum())]).random(len(inside))
                self._best = max(self._best, (1.0 - OF_LOOKS) * bets.place(inside, tie, stratum))
        self._best = min(self._best, LARGEST)
        self._steps += len(scores)
        self._recent = np.concatenate([self._recent, short(scores[:, :-1][:, :SEEN_BY_WITNESS])])[-MOST_LEARNT_FROM:]
        if self._steps % GENERATION == 0:
            self._learn()

    def _learn(self) -> None:
        """Begin with a witness of the stream so far; the oldest one ends."""
        number = self._steps // GENERATION
        witness = Witness.learn(self._partition, self._recent)
        share = (1.0 - OF_PARTITION) / (number * (number + 1))
        first = max(0, len(self._witnesses) + 1 - LIVE_WITNESSES)
        self._witnesses = [*self._witnesses[first:], witness]
        bets = self._begin(witness, self._calibration, self._calibration_strata, share * witness.weights)
        self._bets = [self._bets[0], *self._bets[1 + first :], bets]

    @staticmethod
    def _begin(counts: Partition | Witness, calibration: Floats, strata: Ints, share: Floats) -> _Bets:
        inside = counts.of(calibration)
        bags = np.zeros((MOST_STRATA, inside.shape[1]))
        np.add.at(bags, strata, inside)
        total = np.bincount(strata, minlength=MOST_STRATA)
        return _Bets(bags, counts.usual, share, np.zeros((inside.shape[1], len(TILTS))), total, 0)

    def to_bytes(self) -> bytes:
        """Return the whole state as an npz archive without pickle."""
        arrays: dict[str, Any] = {
            "format": np.int64(FORMAT),
            "alpha": np.float64(self.alpha),
            "best": np.float64(self._best),
            "steps": np.int64(self._steps),
            "seed": np.int64(self._seed),
            "seen": np.fromiter(self._seen, dtype=np.uint64, count=len(self._seen)),
            "missing": np.array(self._missing),
        }
        if not self._missing:
            arrays |= self._partition.arrays() | {"witnesses": np.int64(len(self._witnesses))} | self._looks.arrays()
            arrays["calibration_strata"] = self._calibration_strata.astype(np.uint8)
            arrays |= {"calibration": self._calibration.astype(np.float16), "recent": self._recent.astype(np.float16)}
            for i, bets in enumerate(self._bets):
                arrays |= {f"{name}_{i}": values for name, values in vars(bets).items()}
            for i, witness in enumerate(self._witnesses):
                learnt = {"rows": witness.rows.astype(np.float16), "pool": witness.n_pool, "limits": witness.limits}
                arrays |= {f"witness_{name}_{i}": values for name, values in learnt.items()}
        buffer = io.BytesIO()
        np.savez_compressed(buffer, allow_pickle=False, **arrays)
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, body: bytes) -> Self:
        """Return the monitor that ``to_bytes`` wrote.

        Raises
        ------
        ValueError
            If it is of another format.
        """
        with np.load(io.BytesIO(body), allow_pickle=False) as archive:
            stored = dict(archive)
        if int(stored["format"]) != FORMAT:
            raise ValueError(f"a monitor of format {int(stored['format'])} cannot be read; expected {FORMAT}")
        monitor = cls.__new__(cls)
        monitor.alpha, monitor._missing = float(stored["alpha"]), str(stored["missing"])
        monitor._best, monitor._steps = float(stored["best"]), int(stored["steps"])
        monitor._seed = int(stored["seed"])
        monitor._seen = dict.fromkeys(int(key) for key in stored["seen"])
        if not monitor._missing:
            monitor._restore(stored)
        return monitor

    def _restore(self, stored: Mapping[str, Any]) -> None:
        self._partition = Partition.restored(stored)
        self._calibration, self._recent = (stored[name].astype(np.float32) for name in ("calibration", "recent"))
        self._calibration_strata = stored["calibration_strata"].astype(np.int64)
        self._looks = Looks.restored(stored, self.alpha, OF_LOOKS, self._seed)
        n = int(stored["witnesses"])
        self._bets = [_Bets.restored(stored, i) for i in range(n + 1)]
        self._witnesses = [
            Witness(
                stored[f"witness_rows_{i}"].astype(np.float32),
                int(stored[f"witness_pool_{i}"]),
                stored[f"witness_limits_{i}"],
            )
            for i in range(n)
        ]


@dataclass(eq=False)
class _Bets:
    """Wealth of bets on each of f counts: ``inside`` (s, f) of the ``total`` (s,) messages of a bag fall into it.

    Each stratum has a bag. ``usual`` (f,) is the share that is bet against, ``share`` (f,) each count's part of the
    level, ``wealth`` (f, t) that of each tilt, ``steps`` how many messages since the bets began.
    """

    inside: Floats
    usual: Floats
    share: Floats
    wealth: Floats
    total: Ints
    steps: int

    def place(self, inside: Bools, tie: Floats, stratum: int) -> float:
        """Bet on one message that falls into some of the counts (f,); return the largest evidence."""
        self.steps += 1
        self.total[stratum] += 1
        self.inside[stratum] += inside
        bag, n = self.inside[stratum], self.total[stratum]
        rank = np.where(inside, tie * bag, bag + tie * (n - bag)) / n
        payoff = np.where((rank < self.usual)[:, None], TILTS, 1.0) / (1.0 + (TILTS - 1.0) * self.usual[:, None])
        begun = 1.0 / ((self.steps + 1) * np.log(self.steps + 1) ** 2 * ALL_RESTARTS)
        self.wealth = np.minimum((self.wealth + begun) * payoff, LARGEST)
        return float((self.share * self.wealth.mean(axis=1)).max())

    @classmethod
    def restored(cls, stored: Mapping[str, Any], i: int) -> _Bets:
        """Return the i-th of those that were stored."""
        inside, usual, share, wealth = (stored[f"{name}_{i}"] for name in ("inside", "usual", "share", "wealth"))
        return cls(inside, usual, share, wealth, stored[f"total_{i}"], int(stored[f"steps_{i}"]))


def _as_strata(strata: npt.ArrayLike | None, n: int) -> Ints:
    if strata is None:
        return np.zeros(n, dtype=np.int64)
    given = np.asarray(strata, dtype=np.int64)
    if given.shape != (n,) or n and not 0 <= given.min() <= given.max() < MOST_STRATA:
        raise ValueError(f"strata: expected {n} whole numbers from 0 to {MOST_STRATA - 1}, got shape {given.shape}")
    return given


def _runs(rows: Floats, rng: int) -> Ints:
    """Return a group for each row: neighbours that are near-identical, where chance alone would not explain it."""
    unit = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    alike = np.einsum("ij,ij->i", unit[:-1], unit[1:]) >= NEAR_DUPLICATE
    shuffled = unit[np.random.default_rng([rng, 82]).permutation(len(rows))]
    by_chance = np.einsum("ij,ij->i", shuffled[:-1], shuffled[1:]) >= NEAR_DUPLICATE
    if alike.sum() <= 3 * by_chance.sum() + 5:
        return np.arange(len(rows), dtype=np.int64)
    return np.concatenate([[0], np.cumsum(~alike)]).astype(np.int64)
