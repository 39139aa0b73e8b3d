"""Learning of heads, calibrations and thresholds; nothing here is needed to score."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from analysis.groundedness.head import Calibration, Floats, Head

Labels = NDArray[np.bool_]

CLIP = 3.0
QUANTILES = 101


def fit_head(x: Floats, y: Labels, weights: Floats, c: float, *, products: int = 0) -> Head:
    """Fit a logistic head.

    Parameters
    ----------
    x
        (n, d) features.
    y, weights
        (n,) labels and weights of the rows.
    c
        Inverse strength of the ridge penalty, on standardised columns.
    products
        How many of the leading features also enter as products of two.
    """
    from sklearn.linear_model import LogisticRegression

    mean, scale = x.mean(0), x.std(0)
    scale = np.where(scale > 0, scale, 1.0)
    z = np.clip((x - mean) / scale, -CLIP, CLIP)
    rows, columns = np.triu_indices(products)
    design = np.hstack([z, z[:, rows] * z[:, columns]])
    centre, spread = design.mean(0), design.std(0)
    spread = np.where(spread > 0, spread, 1.0)
    model = LogisticRegression(C=c, max_iter=1000).fit((design - centre) / spread, y, sample_weight=weights)
    coefficients = model.coef_[0] / spread
    quadratic = np.zeros((x.shape[1] if products else 0,) * 2)
    quadratic[rows, columns] = coefficients[x.shape[1] :]
    intercept = float(model.intercept_[0] - coefficients @ centre)
    return Head(mean, scale, coefficients[: x.shape[1]], quadratic, intercept, CLIP)


def fit_platt(logits: Floats, labels: Labels) -> tuple[float, float]:
    """Return slope and intercept of Platt scaling (Platt 1999)."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=1e6).fit(logits[:, None], labels)
    return float(model.coef_[0, 0]), float(model.intercept_[0])


def calibrate(logits: Floats, labels: Labels) -> Calibration:
    """Return the calibration learned from held-out log odds."""
    slope, intercept = fit_platt(logits, labels)
    scaled = slope * logits + intercept
    levels = np.linspace(0, 1, QUANTILES)
    return Calibration(
        slope,
        intercept,
        float(labels.mean()),
        np.quantile(scaled[labels], levels),
        np.quantile(scaled[~labels], levels),
    )


def best_threshold(probability: Floats, labels: Labels) -> float:
    """Return the probability with the best F1, of 181 levels between .05 and .95."""
    levels = np.linspace(0.05, 0.95, 181)
    hits = np.array([(labels & (probability >= level)).sum() for level in levels])
    flagged = np.array([(probability >= level).sum() for level in levels])
    return float(levels[np.argmax(2 * hits / (flagged + labels.sum()))])


def expected_calibration_error(probability: Floats, labels: Labels, bins: int = 10) -> float:
    """Return the mean gap of confidence and frequency over bins of equal width (Naeini et al. 2015)."""
    at = np.minimum((probability * bins).astype(int), bins - 1)
    return float(sum(abs(probability[at == b].sum() - labels[at == b].sum()) for b in range(bins)) / len(labels))
