"""How often the drift tests are wrong, and what they can see, on one's own history."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from dataclasses import field as made
from datetime import timedelta
from math import sqrt

import numpy as np

from analysis.study import FIELDS, Rows, Study

LEVELS = (0.01, 0.05, 0.10)
SHARES = (0.01, 0.02, 0.05, 0.10, 0.20)
MOST_DAYS = 28
_MIN_DAYS = 8
_MOST_WITHOUT = 0.2
_NAMED = {
    "prompt": "Prompts",
    "context": "Retrieved documents",
    "response": "Responses",
    "behaviour": "Answers to the same questions",
}
_POWER = 0.8
_LEVEL = 0.05
_STEPS = 100

Report = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Rate:
    """A share of ``n`` tries with its 95 % Wilson interval."""

    alarms: int
    n: int
    low: float
    high: float

    @classmethod
    def of(cls, alarms: int, n: int) -> Rate:
        """Return the rate of ``alarms`` in ``n`` tries (Wilson, 1927, doi:10.1080/01621459.1927.10502953)."""
        if n == 0:
            return cls(0, 0, 0.0, 1.0)
        z, share = 1.959964, alarms / n
        middle, half = share + z * z / (2 * n), z * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
        scale = 1 + z * z / n
        return cls(alarms, n, max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale))


@dataclass(frozen=True)
class Calibration:
    """What was measured for one service and field.

    Attributes
    ----------
    exchanged : by level, alarms where sessions were dealt at random: the tests' own error.
    days : by level, alarms of real days against the days before them: that error, the ordinary wobble of the mix, and
        whatever really drifted.
    power : by planted share, alarms at the 5 % level; the planted messages are those of ``planted``. Empty where
        nothing can be planted, as for answers to the same questions.
    detectable : smallest planted share found in at least 80 % of the tries; ``None``: none of them.
    needed : what is missing where nothing could be measured.
    without_session : share of the messages that carry no session id.
    """

    service: str
    field: str
    sessions_a_day: int = 0
    exchanged: dict[str, Rate] = made(default_factory=dict)
    days: dict[str, Rate] = made(default_factory=dict)
    power: dict[str, Rate] = made(default_factory=dict)
    planted: str = ""
    detectable: float | None = None
    needed: str = ""
    without_session: float = 0.0

    @property
    def sentence(self) -> str:
        """What was measured at the 5 % level, and what to do where it is above the level."""
        named = f"{_NAMED[self.field]} of {self.service or 'the service without a name'}"
        if self.needed:
            return f"{named}: not measured; needed: {self.needed}."
        own, real = self.exchanged[f"{_LEVEL:g}"], self.days[f"{_LEVEL:g}"]
        told = f"{named}: {_told(own)} where nothing changed"
        if own.low > _LEVEL:
            return f"{told}, above the level of 5 %: {self._remedy()}."
        told += ", not above the level of 5 %"
        if real.low <= _LEVEL:
            return f"{told}; {_told(real)} between real days."
        return (
            f"{told}; but {_told(real)} between real days, above the level: either these days did drift, or the mix of"
            " this traffic wobbles from day to day. If you know of no change, trust only alarms that two days in a row"
            " raise, lower analysis.alpha, or pin a reference that spans the wobble."
        )

    def _remedy(self) -> str:
        if self.without_session > _MOST_WITHOUT:
            missing = f"{self.without_session:.0%} of the messages carry no session id".replace("%", " %")
            return f"{missing}, so that messages which belong together were counted apart; send session.id"
        return "sessions resemble each other more than chance allows; send one session.id per user and task"

    def to_json(self) -> dict[str, object]:
        """Return plain values."""
        return {**asdict(self), "sentence": self.sentence}


def calibrate(
    study: Study,
    *,
    weeks: int = 8,
    repeats: int = 40,
    service: str | None = None,
    fields: Sequence[str] = FIELDS,
    report: Report = lambda done, total, what: None,
) -> Iterator[Calibration]:
    """Measure every service and field.

    Parameters
    ----------
    weeks : how much of the past is used.
    repeats : tries of each kind.
    service : only this one.
    """
    newest = study.frame["start_time"].max()
    recent = (study.frame["start_time"] > newest - timedelta(weeks=weeks)).to_numpy()
    services = [name for name in sorted({str(s) for s in study.service}) if service in (None, name)]
    wanted = [(name, which) for name in services for which in fields]
    for number, (name, which) in enumerate(wanted):
        usable = study.usable(which) & recent
        mine = np.flatnonzero(usable & (study.service == name))
        others = np.flatnonzero(usable & (study.service != name))

        def step(share: float, doing: str, named: str = f"{name} {which}", before: int = number) -> None:
            report(round(_STEPS * (before + share)), _STEPS * len(wanted), f"{named}: {doing}")

        yield _Bench(study, which, mine, repeats, step).measured(name, others)
    report(_STEPS * len(wanted), _STEPS * len(wanted), "")


def _told(rate: Rate) -> str:
    return f"{rate.alarms} of {rate.n} alarms ({100 * rate.low:.0f} to {100 * rate.high:.0f} %)"


class _Bench:
    """The turns of one service and field, dealt again and again."""

    def __init__(self, study: Study, which: str, mine: Rows, repeats: int, step: Callable[[float, str], None]) -> None:
        self._study, self._field, self._mine, self._repeats, self._step = study, which, mine, repeats, step
        self._day = study.frame["day"].to_numpy().astype("datetime64[D]")[mine]
        self._days = np.unique(self._day)
        self._rng = np.random.default_rng(0)

    def measured(self, service: str, others: Rows) -> Calibration:
        sessions = [len(np.unique(self._study.groups[self._mine[self._day == day]])) for day in self._days]
        if len(self._days) < _MIN_DAYS:
            return Calibration(service, self._field, needed=f"at least {_MIN_DAYS} days, got {len(self._days)}")
        without = float((self._study.frame["session_id"].fillna("") == "").to_numpy()[self._mine].mean())
        exchanged = self._p_values("sessions exchanged", 0.0, [self._dealt() for _ in range(self._repeats)])
        real = self._days[_MIN_DAYS - 1 :][-self._repeats :]
        days = self._p_values("real days", 0.35, [self._real(day) for day in real])
        planted, extra = self._foreign(others)
        power: dict[float, Rate] = {}
        for share in SHARES if len(extra) else ():
            self._step(0.6 + 0.08 * len(power), f"{100 * share:g} % planted")
            power[share] = self._power(share, extra)
        found = [share for share, rate in power.items() if rate.n and rate.alarms >= _POWER * rate.n]
        return Calibration(
            service,
            self._field,
            int(np.median(sessions)),
            _rates(exchanged),
            _rates(days),
            {f"{share:g}": rate for share, rate in power.items()},
            planted,
            min(found, default=None),
            without_session=without,
        )

    def _p_values(self, doing: str, start: float, windows: Sequence[tuple[Rows, Rows]]) -> list[float]:
        found = []
        for n, (reference, current) in enumerate(windows):
            self._step(start + 0.3 * n / len(windows), f"{doing}, {n + 1} of {len(windows)}")
            found.append(self._p(reference, current))
        return found

    def _p(self, reference: Rows, current: Rows) -> float:
        return self._study.compare(self._field, self._study.thinned(reference), current, _LEVEL).p_value

    def _dealt(self) -> tuple[Rows, Rows]:
        """Deal the sessions of the past at random into a day and the days before it."""
        groups = self._study.groups[self._mine]
        names = self._rng.permutation(np.unique(groups))
        share = np.isin(groups, names[: max(1, round(len(names) / min(len(self._days), MOST_DAYS + 1)))])
        return self._mine[~share], self._mine[share]

    def _real(self, day: np.datetime64) -> tuple[Rows, Rows]:
        before = (self._day < day) & (self._day >= day - np.timedelta64(MOST_DAYS, "D"))
        return self._mine[before], self._mine[self._day == day]

    def _foreign(self, others: Rows) -> tuple[str, Rows]:
        """Return messages that this traffic does not have: of another service, else of a topic taken out of it."""
        if self._field == "behaviour":  # which says nothing about questions that one window alone asked
            return "", others[:0]
        if len(others):
            return "messages of other services", others
        topics, counts = np.unique(self._study.topics[self._mine], return_counts=True)
        usual = [topic for topic, n in sorted(zip(topics, counts, strict=True), key=lambda p: -p[1]) if topic >= 0]
        if len(usual) < 2:
            return "", others
        chosen = usual[len(usual) // 2]
        mine = self._study.topics[self._mine] == chosen
        extra, self._mine, self._day = self._mine[mine], self._mine[~mine], self._day[~mine]
        return f"messages of topic {chosen}, taken out elsewhere", extra

    def _power(self, share: float, extra: Rows) -> Rate:
        """Replace a share of the sessions of a dealt day by foreign ones."""
        tries = max(1, self._repeats // 4)
        found = 0
        for _ in range(tries):
            reference, current = self._dealt()
            groups = self._study.groups[current]
            names = self._rng.permutation(np.unique(groups))
            gone = np.isin(groups, names[: max(1, round(share * len(names)))])
            n = min(int(gone.sum()), len(extra))
            planted = self._rng.choice(extra, n, replace=False)
            found += self._p(reference, np.concatenate([current[~gone], planted])) <= _LEVEL
        return Rate.of(found, tries)


def _rates(p_values: Sequence[float]) -> dict[str, Rate]:
    known = [p for p in p_values if not np.isnan(p)]
    return {f"{level:g}": Rate.of(sum(p <= level for p in known), len(known)) for level in LEVELS}
