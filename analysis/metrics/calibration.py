"""From a scorer's probability to one that agrees with human verdicts, chosen and measured by cross-validation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Labels = NDArray[np.bool_]
Groups = NDArray[Any]
Method = Literal["platt", "isotonic"]

MIN_VERDICTS = 100
MIN_OF_EACH = 10
METHODS: tuple[Method, ...] = ("platt", "isotonic")
_FOLDS = 5
_DRAWS = 500
_BOUND = 1e-4
_RIGHTLY = 0.5


@dataclass(frozen=True, slots=True)
class Mapped:
    """A learned map of probabilities, as plain numbers.

    Attributes
    ----------
    method
        `platt`: ``sigmoid(y[0] * logit(p) + y[1])``; `isotonic`: straight lines between the points (x, y).
    x, y
        As above.
    """

    method: Method
    x: tuple[float, ...]
    y: tuple[float, ...]

    def __call__(self, probability: Floats | float) -> Floats:
        """Return recalibrated probabilities, (n,) for (n,)."""
        p = np.clip(np.asarray(probability, dtype=np.float64), _BOUND, 1 - _BOUND)
        if self.method == "platt":
            odds = self.y[0] * _logit(p) + self.y[1]
            return np.asarray(0.5 * (1 + np.tanh(odds / 2)), dtype=np.float64)
        return np.asarray(np.interp(p, self.x, self.y), dtype=np.float64)

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Mapped:
        """Read what `to_json` wrote."""
        return cls(body["method"], tuple(body["x"]), tuple(body["y"]))

    def to_json(self) -> dict[str, Any]:
        """Return plain numbers."""
        return {"method": self.method, "x": list(self.x), "y": list(self.y)}


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured value with its 95 % bootstrap interval over groups."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Quality:
    """How good probabilities are.

    Attributes
    ----------
    auroc
        Chance that a positive case ranks above a negative one.
    ece
        Mean gap of probability and frequency over ten bins of equal width (Naeini et al. 2015).
    brier
        Mean squared error of the probability (Brier 1950).
    """

    auroc: Figure
    ece: Figure
    brier: Figure


@dataclass(frozen=True, slots=True)
class Study:
    """What recalibration by verdicts gives.

    Attributes
    ----------
    n, positive, groups
        Verdicts, those that found the answer ungrounded, distinct answers.
    method
        The map with the lower Brier score out of fold.
    before, after
        As scored, and out of fold with that map.
    gain
        Brier score before minus after, positive where it helps.
    mapped
        The map learned from all verdicts.
    """

    n: int
    positive: int
    groups: int
    method: Method
    before: Quality
    after: Quality
    gain: Figure
    mapped: Mapped

    @property
    def helps(self) -> bool:
        """Whether the Brier score falls by more than chance."""
        return self.gain.low > 0

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {**asdict(self), "mapped": self.mapped.to_json(), "helps": self.helps}


def missing(labels: Labels) -> dict[str, int]:
    """Return how many verdicts are missing: in all, and of each kind; zeros where there are enough."""
    positive = int(labels.sum())
    return {
        "verdicts": max(MIN_VERDICTS - len(labels), 0),
        "ungrounded": max(MIN_OF_EACH - positive, 0),
        "grounded": max(MIN_OF_EACH - (len(labels) - positive), 0),
    }


def study(probability: Floats, labels: Labels, groups: Groups, *, seed: int = 0) -> Study:
    """Choose between Platt scaling and isotonic regression by grouped cross-validation, and measure both sides.

    Parameters
    ----------
    probability
        (n,) as the scorer gave them.
    labels
        (n,) True where a person found the answer ungrounded.
    groups
        (n,) rows of one group (equal answers) are never on both sides of a fold, and are drawn together.
    seed
        Of folds and bootstrap.

    Raises
    ------
    ValueError
        There are fewer verdicts than `missing` asks for.
    """
    lacking = missing(labels)
    if any(lacking.values()):
        raise ValueError(f"too few verdicts to recalibrate: {lacking} are missing")
    folds = _folds(labels, groups, seed)
    held_out = {method: _out_of_fold(method, probability, labels, folds) for method in METHODS}
    method = min(METHODS, key=lambda name: _brier(held_out[name], labels))
    after = held_out[method]
    draws = _draws(groups, seed)

    def gain(rows: NDArray[np.intp]) -> float:
        return _brier(probability[rows], labels[rows]) - _brier(after[rows], labels[rows])

    return Study(
        len(labels),
        int(labels.sum()),
        len(np.unique(groups)),
        method,
        quality(probability, labels, draws),
        quality(after, labels, draws),
        _figure(gain, len(labels), draws),
        FITTERS[method](probability, labels),
    )


def quality(probability: Floats, labels: Labels, draws: list[NDArray[np.intp]]) -> Quality:
    """Measure probabilities, with intervals over bootstrap draws of rows."""
    from analysis.groundedness.fitting import expected_calibration_error

    def of(statistic: Callable[[Floats, Labels], float]) -> Figure:
        return _figure(lambda rows: statistic(probability[rows], labels[rows]), len(labels), draws)

    return Quality(of(auroc), of(expected_calibration_error), of(_brier))


def auroc(probability: Floats, labels: Labels) -> float:
    """Return the area under the ROC curve, NaN where only one kind is present."""
    from scipy.stats import rankdata

    positive = int(labels.sum())
    negative = len(labels) - positive
    if not positive or not negative:
        return float("nan")
    ranks = rankdata(probability)
    return float((ranks[labels].sum() - positive * (positive + 1) / 2) / (positive * negative))


def best_threshold(probability: Floats) -> float:
    """Return the threshold of best expected F1 on traffic with these calibrated probabilities.

    That is half of the best F1 (Lipton, Elkan and Naryanaswamy 2014), raised where it must be so that at least half of
    what is flagged is expected to be rightly flagged: where little is told apart, the rule alone would flag everything.

    Parameters
    ----------
    probability
        (n,) of the traffic, not only of the cases that were reviewed.

    Returns
    -------
    float
        0.5 where no level flags rightly half of the time.
    """
    ranked = np.sort(probability)[::-1]
    if not len(ranked) or ranked[0] < _RIGHTLY:
        return _RIGHTLY
    hits = np.cumsum(ranked)
    counts = np.arange(1, len(ranked) + 1)
    half_of_best = float((2 * hits / (counts + hits[-1])).max() / 2)
    # Equal probabilities are flagged together: the last of each decides.
    last = np.append(ranked[:-1] > ranked[1:], True)
    allowed = ranked[last & (hits / counts >= _RIGHTLY)]
    return max(half_of_best, float(allowed.min()) if len(allowed) else _RIGHTLY)


def fit_platt(probability: Floats, labels: Labels) -> Mapped:
    """Fit a logistic curve to the log odds (Platt 1999); a falling one becomes flat, for order is never reversed."""
    from sklearn.linear_model import LogisticRegression

    odds = _logit(np.clip(probability, _BOUND, 1 - _BOUND))
    model = LogisticRegression(C=10.0, max_iter=1000).fit(odds[:, None], labels)
    slope, intercept = float(model.coef_[0, 0]), float(model.intercept_[0])
    if slope <= 0:
        slope, intercept = 0.0, float(_logit(np.clip(np.array([labels.mean()]), _BOUND, 1 - _BOUND))[0])
    return Mapped("platt", (), (slope, intercept))


def fit_isotonic(probability: Floats, labels: Labels) -> Mapped:
    """Fit a rising step function (Zadrozny and Elkan 2002), its ends off zero and one by the rule of succession."""
    from sklearn.isotonic import IsotonicRegression

    lowest = 1 / (len(labels) + 2)
    model = IsotonicRegression(y_min=lowest, y_max=1 - lowest, out_of_bounds="clip").fit(probability, labels)
    return Mapped("isotonic", tuple(model.X_thresholds_.tolist()), tuple(model.y_thresholds_.tolist()))


FITTERS: Mapping[Method, Callable[[Floats, Labels], Mapped]] = {"platt": fit_platt, "isotonic": fit_isotonic}


def _folds(labels: Labels, groups: Groups, seed: int) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    from sklearn.model_selection import StratifiedGroupKFold

    splits = min(_FOLDS, len(np.unique(groups)))
    if splits < 2:
        raise ValueError("all verdicts are about one and the same answer; at least two different ones are needed")
    cut = StratifiedGroupKFold(splits, shuffle=True, random_state=seed)
    return list(cut.split(labels, labels, groups))


def _out_of_fold(
    method: Method, probability: Floats, labels: Labels, folds: list[tuple[NDArray[np.intp], NDArray[np.intp]]]
) -> Floats:
    found = np.empty(len(labels))
    for learn, rest in folds:
        if labels[learn].all() or not labels[learn].any():
            found[rest] = labels[learn].mean()
        else:
            found[rest] = FITTERS[method](probability[learn], labels[learn])(probability[rest])
    return found


def _draws(groups: Groups, seed: int) -> list[NDArray[np.intp]]:
    names, member = np.unique(groups, return_inverse=True)
    rows = [np.flatnonzero(member == index) for index in range(len(names))]
    rng = np.random.default_rng(seed)
    return [np.concatenate([rows[i] for i in rng.integers(0, len(rows), len(rows))]) for _ in range(_DRAWS)]


def _figure(statistic: Callable[[NDArray[np.intp]], float], n: int, draws: list[NDArray[np.intp]]) -> Figure:
    values = np.array([statistic(rows) for rows in draws])
    known = values[~np.isnan(values)]
    low, high = np.quantile(known, [0.025, 0.975]) if len(known) else (float("nan"), float("nan"))
    return Figure(statistic(np.arange(n)), float(low), float(high))


def _brier(probability: Floats, labels: Labels) -> float:
    return float(np.mean((probability - labels) ** 2))


def _logit(p: Floats) -> Floats:
    return np.asarray(np.log(p) - np.log1p(-p), dtype=np.float64)
