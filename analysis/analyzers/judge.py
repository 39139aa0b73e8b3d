"""Grades of answers by the user's rubrics, and the bill of the judging model."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pyarrow as pa

from analysis.analyzer import Batch, Context
from analysis.evaluation import evaluation
from analysis.judge import Judge, NotJudged, rubrics
from undertow.settings.analysis import Rubric
from undertow.store import answer_reads

_BATCH = 200
_RETRY_AFTER = timedelta(minutes=15)
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Task:
    call: Row
    name: str
    rubric: Rubric


class Judged:
    """One row per answer and rubric; nothing is sent unless an address is configured.

    What did not fit into the budget of the day is put off and asked again later.
    """

    name = "judge"
    version = "1"
    requires: tuple[str, ...] = ()

    def run(self, context: Context) -> Iterator[Batch]:
        """Grade the samples of what is new, then bring the calls that were made into the store."""
        settings = context.settings.judge
        if settings.base_url is None or not (settings.rubrics or context.settings.groundedness.scorer == "judge"):
            return
        from analysis.judge.start import open_judge

        judge = open_judge(context.settings)
        try:
            tasks = _tasks(context) if settings.rubrics else []
            for start in range(0, len(tasks), _BATCH):
                context.report(start, len(tasks), "grades")
                part = tasks[start : start + _BATCH]
                with ThreadPoolExecutor(settings.concurrency) as pool:
                    rows = list(pool.map(lambda task: _graded(context, judge, task), part))
                yield Batch({"evaluations": pa.Table.from_pylist(rows)}, rows=len(part))
            yield from _bill(context, judge)
        finally:
            judge.ledger.close()


def _tasks(context: Context) -> list[_Task]:
    retry = {"retry_before": context.now - _RETRY_AFTER}
    put_off = {(row["target_id"], row["name"]) for row in context.store.query(answer_reads.PUT_OFF, retry).to_pylist()}
    calls = context.store.query(answer_reads.ANSWERS_TO_GRADE, {**context.scope, **retry}).to_pylist()
    return [
        _Task(call, name, rubric)
        for call in calls
        for name, rubric in context.settings.judge.rubrics.items()
        if rubrics.drawn(name, rubric, call["interaction_id"])
        and (call["is_new"] or (call["interaction_id"], name) in put_off)
    ]


def _graded(context: Context, judge: Judge, task: _Task) -> Row:
    call, rubric = task.call, task.rubric
    value, label = None, "not_evaluated"
    try:
        grade = rubrics.grade(
            judge, task.name, rubric, call["prompt"], call["response"], call["system_prompt"], call["contents"] or ()
        )
        value, said = grade.value, _sentence(task, grade)
        label = "pass" if rubrics.passes(rubric, grade.value) else "fail"
    except NotJudged as error:
        said = str(error)
        label = "postponed" if error.later else label
    return evaluation(
        context,
        call["interaction_id"],
        task.name,
        value=value,
        label=label,
        explanation=said,
        evaluator=f"judge:{judge.settings.model}",
        version=rubrics.rubric_version(task.name, rubric),
        direction=rubric.direction,
    )


def _sentence(task: _Task, grade: rubrics.Grade) -> str:
    low, high = task.rubric.scale
    limit = f"passes {'from' if task.rubric.direction == 'higher_is_better' else 'up to'} {task.rubric.threshold:g}"
    return f"Rubric {task.name}: {grade.value:g} on a scale from {low} to {high}, {limit}. {grade.reason}".rstrip()


def _bill(context: Context, judge: Judge) -> Iterator[Batch]:
    """Yield the calls that the store does not know yet, those of the scorer of groundedness among them."""
    news = judge.ledger.news()
    if not news:
        return
    asked = {"ids": [row["call_id"] for row in news]}
    known = set(context.store.query(answer_reads.KNOWN_JUDGE_CALLS, asked)["call_id"].to_pylist())
    judge.ledger.taken(sorted(known))
    rows = [{**row, "run_id": context.run_id} for row in news if row["call_id"] not in known]
    if rows:
        yield Batch({"judge_calls": pa.Table.from_pylist(rows)})
