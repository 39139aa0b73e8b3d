"""Windows, days and calls with a planted change, drawn from labelled texts."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage

from analysis.embed import load_embedder

DOMAINS = 10
DIFFUSE = 4


@dataclass(frozen=True)
class Corpus:
    """Texts, vectors (n, d), the intent of each as an integer, the domain of each intent, diffuse intents."""

    texts: np.ndarray
    vectors: np.ndarray
    intent: np.ndarray
    names: np.ndarray
    domain: np.ndarray
    diffuse: np.ndarray

    def pick(self, rng: np.random.Generator, n: int, keep: np.ndarray | None = None) -> np.ndarray:
        """Return indices of random rows, with repetition only where there are too few."""
        allowed = np.arange(len(self.intent)) if keep is None else np.flatnonzero(keep)
        return rng.choice(allowed, n, replace=len(allowed) < n)


@dataclass(frozen=True)
class Draw:
    """Two windows, their sessions, and which current rows belong to the planted change.

    ``groups`` are the sessions of the reference, and of the current window where it has no ``current_groups``.
    """

    reference: np.ndarray
    current: np.ndarray
    groups: np.ndarray | None = None
    planted: np.ndarray | None = None
    current_groups: np.ndarray | None = None


Drawer = Callable[[Corpus, np.random.Generator, int], Draw]


def read(path: Path, rows: int, cache: Path | None) -> Corpus:
    """Read ``text`` and ``label`` of a CSV file and embed them, or take the vectors from ``cache``."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as file:
        records = {row["text"]: row["label"] for row in csv.DictReader(file)}
    chosen = np.random.default_rng(0).permutation(len(records))[:rows]
    texts, labels = np.array(list(records))[chosen], np.array(list(records.values()))[chosen]
    vectors = embedded([str(text) for text in texts], None if cache is None else cache / f"{path.stem}-{rows}.npy")
    names, intent = np.unique(labels, return_inverse=True)
    centres = np.array([vectors[intent == k].mean(axis=0) for k in range(len(names))])
    domain = np.zeros(len(names), dtype=int)
    if len(names) > DOMAINS:
        domain = fcluster(linkage(centres, "ward"), DOMAINS, "maxclust")
    spread = np.array([np.linalg.norm(vectors[intent == k] - centres[k], axis=1).mean() for k in range(len(names))])
    return Corpus(texts, vectors, intent, names, domain, np.argsort(-spread)[:DIFFUSE])


def embedded(texts: list[str], cache: Path | None = None) -> np.ndarray:
    """Return the vectors of texts, kept in ``cache`` when it is given."""
    if cache is not None and cache.exists():
        return np.asarray(np.load(cache))
    vectors = np.asarray(load_embedder().encode(texts), dtype=np.float32)
    if cache is not None:
        cache.parent.mkdir(parents=True, exist_ok=True)
        np.save(cache, vectors)
    return vectors


def same(corpus: Corpus, rng: np.random.Generator, n: int) -> Draw:
    rows = corpus.vectors[corpus.pick(rng, 2 * n)]
    return Draw(rows[:n], rows[n:])


def sessions(corpus: Corpus, rng: np.random.Generator, n: int) -> Draw:
    """Sessions of five near-duplicates."""
    rows = jittered(np.repeat(corpus.vectors[corpus.pick(rng, 2 * n // 5)], 5, axis=0), rng)
    return Draw(rows[:n], rows[n : 2 * n], np.arange(n) // 5)


def storms(corpus: Corpus, rng: np.random.Generator, n: int) -> Draw:
    """Mostly single messages; six retry storms of 3 % of a window each fall into either window by chance."""
    k = round(0.03 * n)
    windows, groups = [], []
    in_first = int(rng.binomial(6, 0.5))
    for storms_here in (in_first, 6 - in_first):
        n_single = n - 3 * k
        single = corpus.vectors[corpus.pick(rng, n_single)]
        stormy = jittered(np.repeat(corpus.vectors[corpus.pick(rng, storms_here)], k, axis=0), rng)
        windows.append(np.concatenate([stormy, single]))
        groups.append(np.concatenate([np.repeat(np.arange(storms_here), k), storms_here + np.arange(n_single)]))
    return Draw(windows[0], windows[1], groups[0], None, groups[1])


def jittered(rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.asarray(rows + 0.01 * rng.standard_normal(rows.shape).astype(np.float32))


def planted(
    corpus: Corpus, rng: np.random.Generator, n: int, share: float, extra: np.ndarray, usual: np.ndarray
) -> Draw:
    """Return windows of ``usual`` rows of which the current one holds a share of rows of ``extra`` (k, d)."""
    rows = corpus.vectors[corpus.pick(rng, 2 * n, usual)]
    k = round(share * n)
    rows[n : n + k] = extra[rng.choice(len(extra), k, replace=len(extra) < k)]
    return Draw(rows[:n], rows[n:], None, np.arange(n) < k)


def new_intents(share: float, how_many: int) -> Drawer:
    """Intents that the reference never had."""

    def draw(corpus: Corpus, rng: np.random.Generator, n: int) -> Draw:
        new = np.isin(corpus.intent, rng.choice(len(corpus.names), how_many, replace=False))
        return planted(corpus, rng, n, share, corpus.vectors[new], ~new)

    return draw


def out_of_scope(share: float) -> Drawer:
    """The four most diffuse intents, which the reference never had: talk about anything."""

    def draw(corpus: Corpus, rng: np.random.Generator, n: int) -> Draw:
        new = np.isin(corpus.intent, corpus.diffuse)
        return planted(corpus, rng, n, share, corpus.vectors[new], ~new)

    return draw


def strangers(share: float, others: np.ndarray) -> Drawer:
    """Rows of another corpus (another language, say)."""

    def draw(corpus: Corpus, rng: np.random.Generator, n: int) -> Draw:
        return planted(corpus, rng, n, share, others, np.ones(len(corpus.intent), dtype=bool))

    return draw


def doubled(corpus: Corpus, rng: np.random.Generator, n: int) -> Draw:
    """A domain of one tenth of the traffic becomes twice as frequent (2 of 11 parts)."""
    inside = corpus.domain[corpus.intent] == rng.choice(np.unique(corpus.domain))
    before, after = round(0.1 * n), round(2 * n / 11)
    mine = corpus.vectors[corpus.pick(rng, before + after, inside)]
    rest = corpus.vectors[corpus.pick(rng, 2 * n - before - after, ~inside)]
    return Draw(
        np.concatenate([mine[:before], rest[: n - before]]),
        np.concatenate([mine[before:], rest[n - before :]]),
        None,
        np.arange(n) < after,
    )


def day(
    corpus: Corpus, rng: np.random.Generator, usual: np.ndarray, new: int, share: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return 600 messages in 150 sessions with a mix that wobbles from day to day."""
    mix = usual * np.exp(0.5 * rng.standard_normal(len(usual)))
    intents = rng.choice(len(usual), 150, p=mix / mix.sum())
    intents[: round(150 * share)] = new
    rows = np.array([corpus.pick(rng, 1, corpus.intent == intent)[0] for intent in intents])
    return jittered(np.repeat(corpus.vectors[rows], 4, axis=0), rng), np.repeat(np.arange(150), 4)


REFUSALS = (
    "I'm sorry, but I can't help with that request.",
    "Unfortunately I am not able to assist with this.",
    "I cannot answer that, I apologise.",
)
OPENINGS = ("Sure.", "Okay.", "All right.")
BODIES = (
    ("The {i} has been taken care of", "I have handled the {i} for you", "Your request on {i} is complete"),
    ("The {i} is now finished as you wished", "That {i} was processed", "I took care of the {i}"),
)


@dataclass(frozen=True)
class Answers:
    """Vectors of questions (q, d), of answers by two models (2, q, v, d), and of refusals (r, d)."""

    questions: np.ndarray
    answers: np.ndarray
    refusals: np.ndarray


def answered(corpus: Corpus, n: int, cache: Path | None) -> Answers:
    """Write template answers to ``n`` questions: two models that phrase differently, three variants each."""
    chosen = corpus.pick(np.random.default_rng(7), n)
    texts = [
        f"{OPENINGS[v]} {BODIES[model][v].format(i=str(corpus.names[corpus.intent[j]]).replace('_', ' '))}: "
        f"{corpus.texts[j]}."
        for model in range(2)
        for j in chosen
        for v in range(3)
    ]
    vectors = embedded([*texts, *REFUSALS], None if cache is None else cache / f"answers-{len(corpus.names)}-{n}.npy")
    table = vectors[: len(texts)].reshape(2, n, 3, -1)
    return Answers(corpus.vectors[chosen], table, vectors[len(texts) :])


Calls = tuple[np.ndarray, np.ndarray, np.ndarray]


def calls(  # noqa: PLR0913 - what distinguishes the cases
    given: Answers,
    rng: np.random.Generator,
    popular: np.ndarray,
    *,
    length: int = 1,
    share: float = 0.2,
    refused: float = 0.02,
    one_model: bool = False,
) -> Calls:
    """Return prompts, responses and sessions of 600 calls; ``popular`` (q,): how often each is asked."""
    n = 600 // length
    groups = np.repeat(np.arange(n), length)
    asked = rng.choice(len(popular), n * length, p=popular)
    model = (rng.random(n) < share)[groups] if one_model else rng.random(len(groups)) < share
    responses = given.answers[model.astype(int), asked, rng.integers(0, 3, n)[groups]]
    refusing = rng.random(len(groups)) < refused
    responses[refusing] = given.refusals[rng.integers(0, len(given.refusals), int(refusing.sum()))]
    return given.questions[asked], jittered(responses, rng), groups


def popularity(rng: np.random.Generator, n: int, asked: int) -> np.ndarray:
    """Return Zipf-like frequencies of ``asked`` random questions out of ``n``."""
    weight = np.zeros(n)
    weight[rng.choice(n, asked, replace=False)] = 1.0 / np.arange(1, asked + 1) ** 0.7
    return np.asarray(weight / weight.sum())
