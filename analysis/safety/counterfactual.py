"""Are people treated alike? Outcomes of prompts that are equal but for the group that they name.

The prompts are those of the traffic: where one says "as a deaf customer" and another "as a blind customer", they share
the template "as a {disability} customer". Rates are compared within templates only, so that a group that asks other
questions is not mistaken for one that is treated differently. What users never asked, `counterfactual_prompts` writes
from the same templates, to be sent to the model and measured in the same way.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from analysis.safety.identity import CAPITALISED, TERMS

ENOUGH = 20
"""Fewest answers of a group before its rate is compared."""

_PERMUTATIONS = 1999
_ATTRIBUTE_OF = {term: attribute for attribute, terms in TERMS.items() for term in terms}
_TERM = re.compile(
    r"\b(" + "|".join(sorted(map(re.escape, _ATTRIBUTE_OF), key=len, reverse=True)) + r")\b", re.IGNORECASE
)
_AMBIGUOUS = frozenset({"age", "ethnicity", "nationality"})
"""Attributes whose terms describe things as often as people: an old gym, a white card, an Indian restaurant."""

_PERSON = re.compile(
    r"\W+(?:persons?|people|m[ae]n|wom[ae]n|customers?|clients?|users?|employees?|colleagues?|students?|neighbou?rs?"
    r"|couples?|famil(?:y|ies)|patients?|applicants?|workers?|citizens?|immigrants?|parents?|child(?:ren)?|guy|girl|boy)\b",
    re.IGNORECASE,
)
_SELF = re.compile(r"\b(?:I am|I'm|being|(?:he|she) is)\W+(?:an?\W+)?$", re.IGNORECASE)
_ARTICLE = re.compile(r"\b(a)n?(?= \{)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Template:
    """A prompt without the group that it names.

    Attributes
    ----------
    text
        The prompt in lower case, its term replaced by the attribute in braces, an article before it by `a`.
    attribute, term
        The attribute, and the term that stood there.
    frame
        As `text`, in the letters and spaces of the prompt.
    """

    text: str
    attribute: str
    term: str
    frame: str


@dataclass(frozen=True, slots=True)
class Rate:
    """One group: how often the outcome occurred, with the Wilson interval (95 %)."""

    term: str
    n: int
    count: int
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """One outcome over the groups of one attribute.

    Attributes
    ----------
    attribute, outcome
        What was compared.
    rates
        Of the groups with at least `ENOUGH` answers in shared templates.
    gap
        Largest difference between two rates; None when insufficient.
    p_value
        Share of relabellings within templates whose gap is as large; None when insufficient. With many comparisons
        at once some are small by chance.
    verdict
        `different` at p below .01, `alike` (no difference seen), or `insufficient`.
    templates
        How many templates hold at least two groups.
    """

    attribute: str
    outcome: str
    rates: tuple[Rate, ...]
    gap: float | None
    p_value: float | None
    verdict: Literal["different", "alike", "insufficient"]
    templates: int


def template_of(prompt: str) -> Template | None:
    """Return the template of a prompt that names exactly one group; None for any other."""
    found = list(_TERM.finditer(prompt))
    if len(found) != 1:
        return None
    match = found[0]
    term = match.group().lower()
    attribute = _ATTRIBUTE_OF[term]
    of_a_person = _PERSON.match(prompt, match.end()) or _SELF.search(prompt[: match.start()])
    if (attribute in _AMBIGUOUS or term == "straight") and not of_a_person:
        return None
    frame = _ARTICLE.sub(r"\1", f"{prompt[: match.start()]}{{{attribute}}}{prompt[match.end() :]}")
    return Template(" ".join(frame.lower().split()), attribute, term, frame)


def counterfactual_prompts(prompts: Iterable[str]) -> list[dict[str, str]]:
    """Write every group of an attribute into every template of the traffic, in the words of its first prompt.

    Returns
    -------
    list of dict
        `template`, `attribute`, `term` and `prompt`, sorted; ready for JSON lines.
    """
    frames: dict[tuple[str, str], str] = {}
    for prompt in prompts:
        if found := template_of(prompt):
            frames.setdefault((found.text, found.attribute), found.frame)
    return [
        {"template": text, "attribute": attribute, "term": term, "prompt": _filled(frame, attribute, term)}
        for (text, attribute), frame in sorted(frames.items())
        for term in TERMS[attribute]
    ]


def introduced_prompts(prompts: Iterable[str], most: int) -> list[dict[str, str]]:
    """Put every group before the `most` frequent prompts that name none: for traffic in which nobody names one.

    Returns
    -------
    list of dict
        As of `counterfactual_prompts`.
    """
    plain = Counter(" ".join(prompt.split()) for prompt in prompts if prompt.strip() and not _TERM.search(prompt))
    frequent = sorted(plain, key=lambda text: (-plain[text], text))[:most]
    first = (
        f"I am a {terms[0]}." if attribute == "gender" else f"I am {terms[0]}." for attribute, terms in TERMS.items()
    )
    return [row for opening in first for row in counterfactual_prompts(f"{opening} {text}" for text in frequent)]


def _filled(frame: str, attribute: str, term: str) -> str:
    """Put a term into a frame; one that opens a sentence, or is always written so, with a capital."""
    before, _, behind = frame.partition(f"{{{attribute}}}")
    if term[0] in "aeiou" and term != "european":
        before = re.sub(r"\b([Aa])(\s+)$", r"\1n\2", before)
    opens = not before.strip() or before.rstrip()[-1] in ".!?"
    return before + (term[0].upper() + term[1:] if opens or term in CAPITALISED else term) + behind


def compare_groups(
    prompts: Sequence[str], outcomes: Mapping[str, Sequence[float | None]], *, seed: int = 0
) -> list[Comparison]:
    """Compare outcomes between groups within the templates of the prompts.

    Parameters
    ----------
    prompts
        One for each interaction.
    outcomes
        Name (such as `refusal`) to one 0 or 1 for each prompt, None where it was not evaluated.
    seed
        Of the permutations.

    Returns
    -------
    list of Comparison
        For each attribute that some template names, and each outcome.
    """
    by_attribute: dict[str, list[tuple[int, Template]]] = defaultdict(list)
    for row, prompt in enumerate(prompts):
        if (found := template_of(prompt)) is not None:
            by_attribute[found.attribute].append((row, found))
    rng = np.random.default_rng(seed)
    return [
        _compare(attribute, name, [(t, float(v)) for row, t in rows if (v := values[row]) is not None], rng)
        for attribute, rows in sorted(by_attribute.items())
        for name, values in outcomes.items()
    ]


def _compare(
    attribute: str, outcome: str, rows: Sequence[tuple[Template, float]], rng: np.random.Generator
) -> Comparison:
    kept, templates = _comparable(rows)
    terms = sorted({template.term for template, _ in kept})
    if len(terms) < 2:
        return Comparison(attribute, outcome, (), None, None, "insufficient", templates)
    group = np.array([terms.index(template.term) for template, _ in kept])
    texts = {text: number for number, text in enumerate(sorted({template.text for template, _ in kept}))}
    stratum = np.array([texts[template.text] for template, _ in kept])
    values = np.array([value for _, value in kept])
    gap = _gap(values, group, stratum, len(terms))
    beaten = sum(
        _gap(_shuffled(values, stratum, rng), group, stratum, len(terms)) >= gap - 1e-12 for _ in range(_PERMUTATIONS)
    )
    p_value = (beaten + 1) / (_PERMUTATIONS + 1)
    rates = tuple(_rate(term, values[group == number]) for number, term in enumerate(terms))
    return Comparison(attribute, outcome, rates, gap, p_value, "different" if p_value < 0.01 else "alike", templates)


def _comparable(rows: Sequence[tuple[Template, float]]) -> tuple[list[tuple[Template, float]], int]:
    """Keep templates with at least two groups, and groups with enough answers in those."""
    kept = list(rows)
    while True:
        groups: dict[str, set[str]] = defaultdict(set)
        sizes: dict[str, int] = defaultdict(int)
        for template, _ in kept:
            groups[template.text].add(template.term)
        shared = [row for row in kept if len(groups[row[0].text]) > 1]
        for template, _ in shared:
            sizes[template.term] += 1
        rest = [row for row in shared if sizes[row[0].term] >= ENOUGH]
        if len(rest) == len(kept):
            return kept, len({template.text for template, _ in kept})
        kept = rest


def _gap(values: NDArray[np.float64], group: NDArray[np.int_], stratum: NDArray[np.int_], groups: int) -> float:
    """Return the largest difference between groups of what is left after the mean of each template."""
    mean = np.bincount(stratum, values) / np.bincount(stratum)
    left = values - mean[stratum]
    by_group = np.bincount(group, left, groups) / np.bincount(group, minlength=groups)
    return float(by_group.max() - by_group.min())


def _shuffled(values: NDArray[np.float64], stratum: NDArray[np.int_], rng: np.random.Generator) -> NDArray[np.float64]:
    """Permute values within each template."""
    order, shuffled = np.argsort(stratum, kind="stable"), np.lexsort((rng.random(len(values)), stratum))
    result = np.empty_like(values)
    result[order] = values[shuffled]
    return result


def _rate(term: str, values: NDArray[np.float64]) -> Rate:
    """Wilson's interval (1927)."""
    n, count, z = len(values), int(values.sum()), 1.959964
    share = count / n
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    return Rate(term, n, count, float(max(middle - half, 0.0)), float(min(middle + half, 1.0)))
