"""The user's own policies: texts that mean nearly the same as an example sentence."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from analysis.safety.base import CLEAR, NOTHING, Field, Finding, Given
from undertow.embedding import Embedder, load_embedder

BACKGROUND = 0.995
"""Share of one's own traffic that lies below the threshold of a policy."""

LOWEST, HIGHEST, USUAL = 0.45, 0.75, 0.6
"""Cosines between which a threshold stays, and what it is without traffic to look at."""

ENOUGH = 200
_CHARS = 4000


class Policies:
    """The nearest example of any policy.

    Parameters
    ----------
    policies
        Name of a policy to sentences that it forbids.
    embedder
        By default the kernel's default model, loaded at the first text.
    """

    name = "policy"
    fields: tuple[Field, ...] = ("prompt", "response")

    def __init__(self, policies: Mapping[str, Sequence[str]] | None = None, embedder: Embedder | None = None) -> None:
        self._policies = {name: list(examples) for name, examples in (policies or {}).items() if examples}
        self._embedder = embedder
        self._examples: dict[str, NDArray[np.float32]] = {}
        self._thresholds: dict[str, float] = {}
        body = json.dumps(self._policies, sort_keys=True)
        self.version = f"1-{hashlib.sha256(body.encode()).hexdigest()[:8]}"
        self.threshold = 0.5

    def calibrate(self, background: NDArray[np.float32]) -> None:
        """Set the threshold of each policy at the 99.5 % quantile of (n, d) vectors of one's own traffic.

        With fewer than 200 of them the usual threshold stays. A policy that more than half a per cent of the traffic
        violates is found in those that violate it most.
        """
        if len(background) < ENOUGH:
            return
        for name, examples in self._vectors().items():
            nearest = (background.astype(np.float32) @ examples.T).max(axis=1)
            self._thresholds[name] = float(np.clip(np.quantile(nearest, BACKGROUND), LOWEST, HIGHEST))

    def score(self, text: str, given: Given = NOTHING) -> Finding:
        """Judge one text: .5 is the threshold of the policy that it comes closest to violating."""
        if not self._policies or not text.strip():
            return Finding(0.0, CLEAR, (), self.threshold)
        examples = self._vectors()
        vector = self._vector(text, given)
        values = {name: self._value(name, float((rows @ vector).max())) for name, rows in examples.items()}
        found = sorted(name for name, value in values.items() if value >= self.threshold)
        return Finding(max(values.values()), ", ".join(found) or CLEAR, (), self.threshold)

    def _value(self, name: str, cosine: float) -> float:
        """Stretch the cosine so that its threshold is .5 and its ends stay where they are."""
        threshold = self._thresholds.get(name, USUAL)
        cosine = min(max(cosine, 0.0), 1.0)
        return 0.5 * cosine / threshold if cosine < threshold else 0.5 + 0.5 * (cosine - threshold) / (1 - threshold)

    def _vectors(self) -> dict[str, NDArray[np.float32]]:
        if len(self._examples) < len(self._policies):
            self._examples = {name: self._loaded().encode(examples) for name, examples in self._policies.items()}
        return self._examples

    def _vector(self, text: str, given: Given) -> NDArray[np.float32]:
        if given.vector is not None and given.model == self._loaded().name and len(text) <= _CHARS:
            return given.vector
        vector: NDArray[np.float32] = self._loaded().encode([text[:_CHARS]])[0]
        return vector

    def _loaded(self) -> Embedder:
        if self._embedder is None:
            self._embedder = load_embedder()
        return self._embedder
