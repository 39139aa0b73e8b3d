"""What should not have been asked, said, done or shown: one evaluation for each finding."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray

from analysis.analyzer import Batch, Context
from analysis.safety import Options, load_detectors
from analysis.safety import access as context_access
from analysis.safety.base import NOT_EVALUATED, Detector, Field, Finding, Given
from analysis.safety.leakage import Grams, SystemPromptLeakage, instructions_of
from analysis.safety.policies import Policies
from undertow.search import load_vectors
from undertow.store import answer_reads

_BATCH = 2000
_BACKGROUND = 5000
_PLACES: Mapping[str, str] = {
    "prompt": "question",
    "response": "answer",
    "tool_calls": "tool calls",
    "document": "document",
}
_WORDS: Mapping[str, str] = {
    "personal_data": "Personal data",
    "offensive_language": "Offensive wording",
    "prompt_injection": "Attempt to take over the assistant",
    "document_injection": "Instructions to the model",
    "system_prompt_leakage": "System prompt given away",
    "unsafe_tool_call": "Unsafe tool call",
    "policy": "Against a policy",
    context_access.NAME: "Documents that this user may not see",
}

Row = dict[str, Any]
Key = tuple[str, str, str]


class Safety:
    """Every detector over every new interaction; equal texts are judged once.

    No row means that nothing was found. A text that a detector cannot judge has a row `not_evaluated`.
    """

    name = "safety"
    version = "2"
    requires: tuple[str, ...] = ()

    def run(self, context: Context) -> Iterator[Batch]:
        """Judge what is new; what was found before in an interaction and is not any more loses its row."""
        rows = context.store.query(
            answer_reads.SAFETY_TEXTS,
            {**context.scope, "attribute": _json_path(context.settings.safety.access.user_attribute)},
        )
        if rows.num_rows == 0:
            return
        work = _prepare(context)
        for start in range(0, rows.num_rows, _BATCH):
            context.report(start, rows.num_rows, "interactions")
            yield _batch(rows.slice(start, _BATCH).to_pylist(), work, context)


@dataclass
class _Work:
    """What is kept from batch to batch."""

    detectors: Mapping[str, Detector]
    model: str
    judged: dict[Key, Finding] = field(default_factory=dict)
    secrets: dict[str, Grams] = field(default_factory=dict)


def _prepare(context: Context) -> _Work:
    settings = context.settings.safety
    detectors = load_detectors(Options(settings.tools, settings.policies, context.embedder))
    policies = detectors["policy"]
    if isinstance(policies, Policies) and settings.policies:
        _, vectors = load_vectors(context.store, "prompt", context.embedder.name)
        policies.calibrate(vectors[np.random.default_rng(0).permutation(len(vectors))[:_BACKGROUND]])
    return _Work(detectors, context.embedder.name, secrets=_secrets(context))


def _secrets(context: Context) -> dict[str, Grams]:
    """The instructions of each prompt version of a service, as runs of words."""
    prompts: dict[str, list[str]] = defaultdict(list)
    for row in context.store.query(answer_reads.SYSTEM_PROMPTS, {"head": context.head}).to_pylist():
        prompts[row["prompt_key"]].append(row["system_prompt"])
    return {key: instructions_of(texts) for key, texts in prompts.items()}


def _batch(rows: Sequence[Row], work: _Work, context: Context) -> Batch:
    vectors = _vectors(rows, context)
    evaluations, ids = [], []
    for row in rows:
        for detector in work.detectors.values():
            for place in detector.fields:
                ids.append(_id(row, detector.name, place))
                if place == "document":
                    finding, where = _worst_document(row, detector, work)
                else:
                    finding, where = _judge(row, place, detector, work, vectors), ""
                if finding is not None and (finding.found or finding.label == NOT_EVALUATED):
                    own = _evaluation(row, detector.name, detector.version, place, finding, where, context)
                    evaluations.append(own)
        ids.append(_id(row, context_access.NAME, ""))
        access, where = _access(row, context)
        if access.found or access.label == NOT_EVALUATED:
            own = _evaluation(row, context_access.NAME, context_access.VERSION, "", access, where, context)
            evaluations.append(own)
    tables = {"evaluations": pa.Table.from_pylist(evaluations)} if evaluations else {}
    return Batch(tables, delete={"evaluations": pa.table({"evaluation_id": ids})}, rows=len(rows))


def _vectors(rows: Sequence[Row], context: Context) -> dict[tuple[str, str], NDArray[np.float32]]:
    found = {}
    for place in ("prompt", "response"):
        wanted = {row[f"{place}_text_hash"] for row in rows} - {None}
        hashes, matrix = load_vectors(context.store, place, context.embedder.name, among=wanted)
        found.update({(place, key): matrix[index] for index, key in enumerate(hashes)})
    return found


def _judge(
    row: Row, place: Field, detector: Detector, work: _Work, vectors: Mapping[tuple[str, str], NDArray[np.float32]]
) -> Finding | None:
    text = _calls(row) if place == "tool_calls" else row[place]
    if not text:
        return None
    if isinstance(detector, SystemPromptLeakage):
        return _leak(row, detector, work)
    key = (detector.name, place, text)
    given = Given()
    if place != "tool_calls":
        vector = vectors.get((place, row[f"{place}_text_hash"]))
        model = "" if vector is None else work.model
        given = Given(vector, model, row["language"] if place == "prompt" else None)
    if key not in work.judged:
        work.judged[key] = detector.score(text, given)
    finding = work.judged[key]
    if finding.found and detector.name == "personal_data" and place == "response":
        return detector.score(text, replace(given, allowed=_allowed(row)))
    return finding


def _worst_document(row: Row, detector: Detector, work: _Work) -> tuple[Finding | None, str]:
    """Judge each document of an interaction; the worst one, and the names of those found."""
    worst, names = None, []
    for document in row["documents"] or ():
        if not document["content"]:
            continue
        key = (detector.name, "document", document["content"])
        if key not in work.judged:
            work.judged[key] = detector.score(document["content"])
        finding = work.judged[key]
        names += [document["name"]] if finding.found else []
        if worst is None or finding.value > worst.value:
            worst = finding
    return worst, _listed(names)


def _listed(names: Sequence[str]) -> str:
    """Names in a sentence: the first three, and how many more."""
    distinct = list(dict.fromkeys(names))
    rest = f" and {len(distinct) - 3} more" if len(distinct) > 3 else ""
    return ", ".join(distinct[:3]) + rest


def _leak(row: Row, detector: SystemPromptLeakage, work: _Work) -> Finding:
    """Judge an answer against the instructions of its prompt version; what it was given to repeat excuses it."""
    secret = work.secrets.get(row["prompt_key"] or "", frozenset())
    key = (detector.name, row["prompt_key"] or "", row["response"])
    if key not in work.judged:
        work.judged[key] = detector.score_against(row["response"], secret)
    finding = work.judged[key]
    return detector.score_against(row["response"], secret, _allowed(row)) if finding.found else finding


def _allowed(row: Row) -> tuple[str, ...]:
    return tuple(text for text in (row["prompt"], *(row["contents"] or ())) if text)


def _calls(row: Row) -> str:
    """The calls that the model asked for and those that were made, as JSON."""
    asked = orjson.loads(row["tool_calls"]) if row["tool_calls"] else []
    calls = [*(asked if isinstance(asked, list) else [asked]), *(row["tool_runs"] or ())]
    return orjson.dumps(calls).decode() if calls else ""


def _access(row: Row, context: Context) -> tuple[Finding, str]:
    """Judge the documents against the user; and the names of those that the user may not see."""
    settings = context.settings.safety.access
    if not settings.document_key:
        return context_access.check((), None), ""
    documents = row["documents"] or ()
    labels = [context_access.labels_of(document["metadata"], settings.document_key) for document in documents]
    allowed = context_access.may_see(row["user_id"], settings.users, row["user_labels"], settings.default)
    finding = context_access.check(labels, allowed)
    named = zip(documents, labels, strict=True)
    forbidden = [document["name"] for document, own in named if own and not own & (allowed or frozenset())]
    return finding, _listed(forbidden) if finding.found else ""


def _json_path(attribute: str | None) -> str:
    return f'$."{attribute}"' if attribute else "$.none"


def _id(row: Row, name: str, place: str) -> str:
    return hashlib.sha256(f"{row['interaction_id']}:{name}:{place}".encode()).hexdigest()[:32]


def _evaluation(  # noqa: PLR0913, PLR0917 - one argument for each thing that the sentence names
    row: Row, name: str, version: str, place: str, finding: Finding, where: str, context: Context
) -> dict[str, Any]:
    judged = finding.label != NOT_EVALUATED
    return {
        "evaluation_id": _id(row, name, place),
        "target_kind": "interaction",
        "target_id": row["interaction_id"],
        "name": name,
        "value": finding.value if judged else None,
        "label": (f"{place}: {finding.label}" if place else finding.label) if judged else NOT_EVALUATED,
        "explanation": _sentence(name, place, finding, where) if judged else finding.reason,
        "direction": "lower_is_better",
        "evaluator": name,
        "evaluator_version": version,
        "run_id": context.run_id,
        "created_at": context.now,
    }


def _sentence(name: str, place: str, finding: Finding, documents: str = "") -> str:
    """Name rule, value and threshold, and where; never what stands there."""
    where = f" in the {_PLACES[place]}" if place else ""
    where += f" {documents}" if place and documents else f": {documents}" if documents else ""
    at = ", ".join(f"{start} to {end}" for start, end in finding.spans[:3])
    if len(finding.spans) > 3:
        at += f" and {len(finding.spans) - 3} more"
    characters = f", characters {at}" if at and place != "tool_calls" else ""
    value = f"value {finding.value:.2f}, threshold {finding.threshold:.2f}"
    return f"{_WORDS.get(name, name)}{where} ({finding.label}){characters}: {value}."
