"""Logistic heads as plain numbers, their calibration and their decision threshold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def sigmoid(logit: Floats | float) -> Floats:
    """Return ``1 / (1 + exp(-logit))`` without overflow."""
    return np.asarray(0.5 * (1 + np.tanh(np.asarray(logit, dtype=np.float64) / 2)), dtype=np.float64)


def log_odds(probability: float) -> float:
    """Return ``log(p / (1 - p))`` for 0 < p < 1."""
    return float(np.log(probability / (1 - probability)))


@dataclass(frozen=True)
class Head:
    """A logistic regression on standardised, clipped features, optionally with their products.

    Attributes
    ----------
    mean, scale, linear
        (d,) each.
    quadratic
        (d, d) upper triangular weights of the products, or (0, 0).
    intercept
        Log odds at the mean.
    clip
        Standardised features are cut to ±clip: nothing is extrapolated far beyond what was seen.
    """

    mean: Floats
    scale: Floats
    linear: Floats
    quadratic: Floats
    intercept: float
    clip: float

    def standardise(self, features: Floats) -> Floats:
        """Return the (n, d) features as the head sees them."""
        scaled: Floats = np.clip((features - self.mean) / self.scale, -self.clip, self.clip)
        return scaled

    def logit(self, features: Floats) -> Floats:
        """Return the (n,) log odds of (n, d) features."""
        z = self.standardise(features)
        logits: Floats = z @ self.linear + self.intercept
        if self.quadratic.size:
            logits = logits + np.einsum("ij,jk,ik->i", z, self.quadratic, z)
        return logits

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Head:
        """Read what `to_json` wrote."""
        arrays = {key: np.array(body[key], dtype=np.float64) for key in ("mean", "scale", "linear")}
        quadratic = np.array(body["quadratic"], dtype=np.float64).reshape(
            (len(arrays["mean"]),) * 2 if body["quadratic"] else (0, 0)
        )
        return cls(**arrays, quadratic=quadratic, intercept=float(body["intercept"]), clip=float(body["clip"]))

    def to_json(self) -> dict[str, Any]:
        """Return numbers of six significant digits."""
        return {
            "mean": _rounded(self.mean),
            "scale": _rounded(self.scale),
            "linear": _rounded(self.linear),
            "quadratic": [_rounded(row) for row in self.quadratic],
            "intercept": float(f"{self.intercept:.6g}"),
            "clip": self.clip,
        }


@dataclass(frozen=True)
class Calibration:
    """From the response head's log odds to a probability, at any share of ungrounded responses.

    Platt scaling at the training prior (Platt 1999), then a shift of the log odds to the prior in use (Saerens,
    Latinne and Decaestecker 2002). Held-out log odds of the training set are kept as quantiles, so that the
    threshold of best F1 can be found for every prior without the data.

    Attributes
    ----------
    slope, intercept
        Of Platt scaling.
    prior
        Share of ungrounded responses in the training set.
    positive, negative
        Calibrated held-out log odds of ungrounded and grounded training responses, as equidistant quantiles.
    """

    slope: float
    intercept: float
    prior: float
    positive: Floats
    negative: Floats

    def probability(self, logit: float, prior: float) -> float:
        """Return the calibrated probability at `prior`."""
        return float(sigmoid(self.slope * logit + self.intercept + self.shift(prior)))

    def shift(self, prior: float) -> float:
        """Return what `prior` adds to the log odds of the training set."""
        return log_odds(prior) - log_odds(self.prior)

    def threshold(self, prior: float) -> float:
        """Return the probability at which F1 is best when `prior` of the responses are ungrounded.

        For calibrated probabilities that is half of the best F1 (Lipton, Elkan and Naryanaswamy 2014), which is far
        steadier than the place of the highest point of a flat curve.
        """
        cuts = np.sort(np.concatenate([self.positive, self.negative]))
        hit = prior * (1 - np.searchsorted(np.sort(self.positive), cuts) / len(self.positive))
        false = (1 - prior) * (1 - np.searchsorted(np.sort(self.negative), cuts) / len(self.negative))
        return float((hit / (hit + false + prior)).max())

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Calibration:
        """Read what `to_json` wrote."""
        return cls(
            slope=float(body["slope"]),
            intercept=float(body["intercept"]),
            prior=float(body["prior"]),
            positive=np.array(body["positive"], dtype=np.float64),
            negative=np.array(body["negative"], dtype=np.float64),
        )

    def to_json(self) -> dict[str, Any]:
        """Return numbers of six significant digits."""
        return {
            "slope": float(f"{self.slope:.6g}"),
            "intercept": float(f"{self.intercept:.6g}"),
            "prior": float(f"{self.prior:.6g}"),
            "positive": _rounded(self.positive),
            "negative": _rounded(self.negative),
        }


def _rounded(values: Floats) -> list[float]:
    return [float(f"{value:.6g}") for value in values]
