"""What arrived and was not understood, was refused, or was redacted, as tables of Health."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import streamlit as st

from dashboard.components import cards, text
from dashboard.formats import count, escape, percent, shorten
from dashboard.telemetry import Unread
from undertow.collector_metrics import Sample, refusals, total
from undertow.telemetry_report import Attribute, kind_of

_ROWS = 15
_NAMES = 10


def sources(seen: Unread) -> None:
    """Every scope with the dialect that read it; those that look like model calls come first."""
    text.heading("Sources", "by instrumentation scope")
    suspects = {(s.service, s.scope): s for s in seen.suspects}
    body = []
    for item in sorted(seen.sources, key=lambda s: ((s.service, s.scope) not in suspects, -s.spans)):
        suspect = suspects.get((item.service, item.scope)) if item.dialect == "plain" else None
        why = f"looks like model calls: {_names(suspect.evidence)}" if suspect else ""
        note = f'<br><span class="ut-small">{text.status("watch", why)}</span>' if suspect else ""
        where = " · ".join(filter(None, (item.service, item.environment)))
        body.append(
            (
                f"{escape(shorten(item.scope or 'no scope', 90))}{note}<br>{_small(where)}",
                escape(item.dialect),
                count(item.spans),
                count(item.calls),
            )
        )
    head = (("scope", "wide"), ("dialect", ""), ("spans ▾", "n"), ("calls", "n"))
    st.html(cards.table(head, body[:_ROWS]))
    _more(len(body) - _ROWS)


def attributes(seen: Unread) -> None:
    """Attributes that no dialect mapped; what is known to be of no use is one line."""
    basis = "all spans" if seen.sampled >= seen.stored else f"the newest {seen.sampled:,} of {seen.stored:,} spans"
    text.heading("Attributes that no dialect mapped", f"names only, over {basis}")
    shown = [a for a in seen.attributes if a.standing == "unmapped"]
    if shown:
        body = [_attribute(item) for item in shown[:_ROWS]]
        head = (("attribute", "wide"), ("dialect", ""), ("spans", "n"), ("share", "n"), ("type, length", "n"))
        st.html(cards.table(head, body))
        _more(len(shown) - _ROWS)
    else:
        words = "every attribute of calls, retrievals and tools was mapped or is not needed"
        st.html(f'<p class="ut-small">{text.status("ok", words)}</p>')
    _folded("known and not needed", [a.attribute for a in seen.attributes if a.standing == "not_needed"])
    _folded("on spans that are no calls", [a.attribute for a in seen.attributes if a.standing == "no_call"])
    _folded("on plain spans", [a.attribute for a in seen.attributes if a.standing == "plain"])
    _folded("events that no dialect read", [f"{e.event} ({e.events:,})" for e in seen.events])


def _attribute(item: Attribute) -> tuple[str, ...]:
    return (
        f"{escape(shorten(item.attribute, 90))}<br>{_small(shorten(item.scope, 70))}",
        escape(item.dialect),
        count(item.spans),
        percent(item.share),
        f"{kind_of(item)}, {count(item.length)}",
    )


def refused(samples: Sequence[Sample] | None) -> None:
    """Requests and items that the running collector refused, by reason."""
    text.heading("Refused", "since the collector started")
    if samples is None:
        st.html('<p class="ut-small">no collector is running: it alone counts refusals</p>')
        return
    found = refusals(samples)
    ignored = int(total(samples, "undertow_ignored_items_total"))
    if found:
        st.html(cards.table((("reason", "wide"), ("times ▾", "n")), [(escape(why), count(n)) for why, n in found]))
    else:
        st.html(f'<p class="ut-small">{text.status("ok", "nothing was refused")}</p>')
    if ignored:
        st.html(f'<p class="ut-small">{ignored:,} log records of no known event were accepted and not stored</p>')


def redacted(rows: Iterable[dict[str, Any]]) -> None:
    """Strings replaced before anything was stored, by kind."""
    text.heading("Redacted", "strings replaced, by kind, in this window")
    body = [(escape(row["kind"]), count(row["strings"])) for row in rows]
    if body:
        st.html(cards.table((("kind", "wide"), ("strings ▾", "n")), body))
    else:
        st.html('<p class="ut-small">nothing was replaced</p>')


def _small(words: str) -> str:
    return f'<span class="ut-small">{escape(words)}</span>'


def _folded(title: str, names: Iterable[str]) -> None:
    every = list(dict.fromkeys(names))
    if every:
        st.html(f'<p class="ut-small">{escape(title)}: {escape(_names(every))}</p>')


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMES:,} more" if len(names) > _NAMES else ""
    return ", ".join(shorten(name, 60) for name in names[:_NAMES]) + more


def _more(number: int) -> None:
    if number > 0:
        st.html(f'<p class="ut-small">and {number:,} more: <code>undertow doctor telemetry --json</code></p>')
