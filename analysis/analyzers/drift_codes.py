"""Codes of every row of a large window, kept by day, so that a later window costs a count."""

from __future__ import annotations

import io
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from analysis.analyzer import Context
from analysis.drift import Codebook, Codes, DriftResult, compare_codes
from analysis.drift.pooled import MIN_ROWS
from analysis.drift.result import Verdict
from analysis.study import MOST_REFERENCE_ROWS, PERMUTATIONS, Pin, Rows, Study
from undertow.store import reads

REFIT_AFTER = np.timedelta64(28, "D")
FEWEST_TAUGHT = 200
_A_DAY = timedelta(days=1)  # local days and instants of pins differ by less
CODED_FIELDS = ("prompt", "context", "response")


@dataclass(frozen=True)
class _Day:
    """Codes of a day's rows, the session of each, and what they were made of."""

    codes: Codes
    groups: npt.NDArray[np.int32]
    newest: int

    def fits(self, version: int, n: int, newest: int) -> bool:
        """Whether they are still those of the day's rows: late rows change their number or their newest sequence."""
        return (self.codes.version, len(self.codes), self.newest) == (version, n, newest)


@dataclass(frozen=True)
class _Book:
    """A codebook and the days [since, until) that it learnt from."""

    book: Codebook
    since: np.datetime64
    until: np.datetime64


class CodedDays:
    """Judges windows too large for their vectors by stored codes.

    A codebook of each service and field is learnt from the reference, and learnt again after four weeks. Days are
    encoded once under a codebook; under a new one those that a comparison needs are encoded again, so that codes of
    two codebooks never meet. A day to which rows came late is encoded again. The codebook learns from half of the
    sessions of its reference, and these are left out of every window: they lie nearer to it than others.
    """

    def __init__(self, context: Context, study: Study) -> None:
        self._context = context
        self._study = study
        self._day = study.frame["day"].to_numpy().astype("datetime64[D]")
        self._sequence = study.frame["load_seq"].to_numpy(np.int64)
        self._written: dict[str, dict[str, Any]] = {}
        self._books: dict[str, _Book] = {}

    @staticmethod
    def are_due(field: str, reference: Rows, current: Rows) -> bool:
        """Whether a comparison is too large for its vectors."""
        return field in CODED_FIELDS and max(len(reference), len(current)) > MOST_REFERENCE_ROWS

    def compare(self, field: str, service: str, reference: Rows, current: Rows, alpha: float) -> DriftResult | None:
        """Compare two windows of whole days by their codes; ``None`` where there is too little to learn from."""
        kept = self._book(field, service, reference, self._day[current[0]])
        if kept is None:
            return None
        reference, current = self._unlearnt(kept, reference), self._unlearnt(kept, current)
        if min(len(reference), len(current)) < MIN_ROWS:
            return None
        before, after = (self._window(field, service, kept, rows) for rows in (reference, current))
        result = compare_codes(
            before[0],
            after[0],
            reference_groups=before[1],
            current_groups=after[1],
            permutations=PERMUTATIONS,
            alpha=alpha,
        )
        return replace(result, method=f"stored codes of codebook {kept.book.version}")

    def take(self) -> list[dict[str, Any]]:
        """Return the rows of ``artifacts`` made since the last call."""
        made, self._written = list(self._written.values()), {}
        return made

    def outdated(self, last: np.datetime64, reference: np.timedelta64, pins: Mapping[str, Pin]) -> list[str]:
        """Return the stored codes that nothing needs any more: they are only a saving, and can be made again.

        Needed are those of the codebook in force for the windows of verdicts on days from four weeks before ``last`` on
        (rows that come late are judged again), and for pinned references.
        """
        rows = self._context.store.query(reads.CODED).to_pylist()
        in_force = {row["artifact_id"]: row["version"] for row in rows if row["kind"] == "codebook"}
        in_force |= {name: str(kept.book.version) for name, kept in self._books.items()}
        gone = []
        for row in rows:
            if row["kind"] == "codes":
                book, day = row["artifact_id"].removeprefix("codes:").rsplit(":", 1)
                pin = pins.get(book.rsplit(":", 1)[0])
                is_pinned = pin is not None and pin.start - _A_DAY <= datetime.fromisoformat(day) < pin.end + _A_DAY
                is_recent = np.datetime64(day) >= last - reference - REFIT_AFTER
                if in_force.get(f"codebook:{book}") != row["version"] or not (is_recent or is_pinned):
                    gone.append(row["artifact_id"])
        return gone

    def _book(self, field: str, service: str, reference: Rows, day: np.datetime64) -> _Book | None:
        """The codebook in force; a new one where there is none, or it is four weeks old."""
        name = f"codebook:{service}:{field}"
        kept = self._books.get(name) or self._read_book(name)
        if kept is None or day - kept.until >= REFIT_AFTER or day < kept.until:
            rows = self._study.thinned(reference[self._is_taught[reference]])
            if len(rows) < FEWEST_TAUGHT:
                return None
            version = 1 if kept is None else kept.book.version + 1
            book = Codebook.fit(self._study.turns.vectors[field][rows], version=version)
            kept = _Book(book, self._day[reference[0]], day)
            arrays = {"since": np.array(kept.since), "until": np.array(day), **book.to_arrays()}
            self._written[name] = self._artifact(name, "codebook", version, arrays)
        self._books[name] = kept
        return kept

    def _read_book(self, name: str) -> _Book | None:
        stored = self._stored([name]).get(name)
        if stored is None:
            return None
        return _Book(Codebook.from_arrays(stored), stored["since"][()], stored["until"][()])

    @cached_property
    def _is_taught(self) -> npt.NDArray[np.bool_]:
        """Which turns (n,) a codebook of their time learns from: half of the sessions, the same ones in every run."""
        frame = self._study.frame
        names = frame["session_id"].fillna(frame["user_id"]).fillna(frame["trace_id"]).fillna(frame["interaction_id"])
        return np.array([zlib.crc32(str(name).encode()) % 2 == 0 for name in names])

    def _unlearnt(self, kept: _Book, rows: Rows) -> Rows:
        """The rows that the codebook did not learn from."""
        taught = self._is_taught[rows] & (self._day[rows] >= kept.since) & (self._day[rows] < kept.until)
        left: Rows = rows[~taught]
        return left

    def _window(self, field: str, service: str, kept: _Book, rows: Rows) -> tuple[Codes, npt.NDArray[np.int64]]:
        """The codes of whole days and the session of each row; a session of two days counts as two."""
        of_day = {day: rows[self._day[rows] == day] for day in np.unique(self._day[rows])}
        names = {day: f"codes:{service}:{field}:{day}" for day in of_day}
        stored = self._stored(list(names.values()))
        days = [
            self._coded(field, names[day], kept.book, mine, stored.get(names[day]))
            for day, mine in sorted(of_day.items())
        ]
        offsets = np.cumsum([0, *(int(day.groups.max(initial=-1)) + 1 for day in days)])
        groups = [day.groups.astype(np.int64) + offset for day, offset in zip(days, offsets, strict=False)]
        return Codes.joined([day.codes for day in days]), np.concatenate(groups)

    def _coded(self, field: str, name: str, book: Codebook, rows: Rows, stored: Mapping[str, Any] | None) -> _Day:
        newest = int(self._sequence[rows].max())
        if stored is not None:
            day = _Day(Codes.from_arrays(stored), stored["groups"], int(stored["newest"]))
            if day.fits(book.version, len(rows), newest):
                return day
        codes = book.encode(self._study.turns.vectors[field][rows])
        groups = np.unique(self._study.groups[rows], return_inverse=True)[1].astype(np.int32)
        arrays = {**codes.to_arrays(), "groups": groups, "newest": np.array(newest)}
        self._written[name] = self._artifact(name, "codes", book.version, arrays)
        return _Day(codes, groups, newest)

    def _stored(self, names: list[str]) -> dict[str, dict[str, Any]]:
        """Arrays of the artifacts of the embedding model, by id; those made in this run first."""
        found = [row for row in self._context.store.query(reads.ARTIFACTS, {"ids": names}).to_pylist()]
        rows = {row["artifact_id"]: row["body"] for row in found}
        rows |= {name: self._written[name]["body"] for name in names if name in self._written}
        opened = {name: dict(np.load(io.BytesIO(body), allow_pickle=False)) for name, body in rows.items()}
        model = self._context.embedder.name
        return {name: arrays for name, arrays in opened.items() if str(arrays["model"]) == model}

    def _artifact(self, name: str, kind: str, version: int, arrays: Mapping[str, Any]) -> dict[str, Any]:
        body = io.BytesIO()
        np.savez_compressed(body, allow_pickle=False, model=np.array(self._context.embedder.name), **arrays)
        return {
            "artifact_id": name,
            "kind": kind,
            "version": str(version),
            "run_id": self._context.run_id,
            "created_at": self._context.now,
            "body": body.getvalue(),
        }


def confirmed(frozen: DriftResult, pooled: DriftResult) -> DriftResult:
    """Return what a comparison of vectors leaves of an alarm of stored codes.

    The larger p-value counts; how large the windows are stays as the codes have it.
    """
    p_value = max(frozen.p_value, pooled.p_value)
    verdict: Verdict = "drifted" if frozen.verdict == pooled.verdict == "drifted" else "stable"
    sizes = {
        name: getattr(frozen, name) for name in ("n_reference", "n_current", "n_groups_reference", "n_groups_current")
    }
    method = f"{frozen.method}, {'confirmed' if verdict == 'drifted' else 'not confirmed'} by a pooled refit"
    return replace(pooled, p_value=p_value, verdict=verdict, method=method, **sizes)
