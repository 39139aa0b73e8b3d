"""A scorer whose probability was recalibrated by human verdicts."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from analysis.groundedness.base import Answer, Groundedness, Scorer, score_all
from analysis.metrics.calibration import Mapped

KIND = "calibration"


@dataclass(frozen=True, slots=True)
class Recalibration:
    """A map of one version of one scorer, and the threshold that belongs to it.

    Attributes
    ----------
    scorer, scorer_version
        Whose probabilities it maps; it is of no use for any other.
    mapped, threshold
        The map, and from which mapped probability an answer counts as ungrounded.
    verdicts, until
        How many verdicts it was learned from, and the day of the last.
    """

    scorer: str
    scorer_version: str
    mapped: Mapped
    threshold: float
    verdicts: int
    until: str

    @property
    def version(self) -> str:
        """Changes with every number in it."""
        return "cal-" + hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()[:8]

    @property
    def learned_from(self) -> str:
        """The calibration set in words."""
        return f"{self.verdicts} human verdicts until {self.until}"

    def fits(self, scorer: Scorer) -> bool:
        """Whether it was learned for this very scorer."""
        return (self.scorer, self.scorer_version) == (scorer.name, scorer.version)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "scorer": self.scorer,
            "scorer_version": self.scorer_version,
            "mapped": self.mapped.to_json(),
            "threshold": self.threshold,
            "verdicts": self.verdicts,
            "until": self.until,
        }

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> Recalibration:
        """Read what `to_json` wrote."""
        return cls(**{**body, "mapped": Mapped.from_json(body["mapped"])})


@dataclass(frozen=True, slots=True)
class Applied:
    """One row of the history of recalibrations: what holds from then on, and what held before.

    Attributes
    ----------
    recalibration
        None where the scorer's own probability holds.
    previous
        The artifact that this one took the place of; None for the first.
    """

    recalibration: Recalibration | None
    previous: str | None

    def to_bytes(self) -> bytes:
        """Return an npz archive that holds one string."""
        body = {"previous": self.previous, "recalibration": self.recalibration and self.recalibration.to_json()}
        buffer = io.BytesIO()
        np.savez_compressed(buffer, body=np.array(json.dumps(body)))
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Applied:
        """Read what `to_bytes` wrote."""
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            body = json.loads(str(archive["body"]))
        found = body["recalibration"]
        return cls(Recalibration.from_json(found) if found else None, body["previous"])


class CalibratedScorer:
    """A scorer behind a recalibration; claims stay as they are.

    Parameters
    ----------
    scorer
        Judges.
    recalibration
        Maps its risk; must fit it.
    """

    def __init__(self, scorer: Scorer, recalibration: Recalibration) -> None:
        if not recalibration.fits(scorer):
            raise ValueError(
                f"the recalibration belongs to {recalibration.scorer} {recalibration.scorer_version}, "
                f"got {scorer.name} {scorer.version}"
            )
        self.scorer = scorer
        self.recalibration = recalibration
        self.name = scorer.name

    @property
    def version(self) -> str:
        """Versions of the scorer and of the recalibration."""
        return f"{self.scorer.version}+{self.recalibration.version}"

    def score(self, response: str, documents: Sequence[str], query: str | None = None) -> Groundedness:
        """Judge one response; see `Scorer.score`."""
        return self.mapped(self.scorer.score(response, documents, query))

    def score_many(self, answers: Sequence[Answer]) -> list[Groundedness]:
        """Judge several responses; see `ManyScorer.score_many`."""
        return [self.mapped(result) for result in score_all(self.scorer, answers)]

    def mapped(self, result: Groundedness) -> Groundedness:
        """Return a judgement of the inner scorer as this one gives it."""
        risk = None if result.risk is None else float(self.recalibration.mapped(result.risk))
        return replace(
            result,
            risk=risk,
            uncalibrated=result.risk,
            threshold=self.recalibration.threshold,
            version=self.version,
            calibrated_on=self.recalibration.learned_from,
        )
