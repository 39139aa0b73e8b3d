"""One question to a judging model: cached, within the budget, fenced, checked, repaired once."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from analysis.judge.fence import fenced
from analysis.judge.ledger import Budget, Ledger
from undertow.errors import ModelMissingError
from undertow.settings.analysis import JudgeSettings

T = TypeVar("T")
Price = Callable[[int, int], float | None]
"""Cost in USD of (input tokens, output tokens); None where the price is unknown."""

_CHARS_PER_TOKEN = 3
_ANSWER_TOKENS = 500
_WRONG = "Your answer cannot be used: {why}. Answer again, with the JSON object and nothing else."


class NotJudged(Exception):
    """The model gave no usable judgement: a result, not a fault, which the caller turns into `not_evaluated`.

    Attributes
    ----------
    later
        Whether the same question may succeed another day: the budget is used up, or the model did not answer.
    """

    def __init__(self, reason: str, *, later: bool) -> None:
        super().__init__(reason)
        self.later = later


@dataclass(frozen=True)
class Question(Generic[T]):
    """What is asked.

    Attributes
    ----------
    purpose, version
        For record and cache; the version changes with every change of the wording.
    task, form, schema
        What is judged and how the answer looks, in words and as JSON schema.
    material
        Texts of others.
    check
        Turns the parsed answer into a result; raises ValueError, in words that quote nothing, where it cannot be used.
    """

    purpose: str
    version: str
    task: str
    form: str
    schema: Mapping[str, Any]
    material: Mapping[str, Any]
    check: Callable[[Any], T]


class Judge:
    """Asks a model behind an OpenAI-compatible API.

    Parameters
    ----------
    settings
        Address, model, limits.
    ledger
        Cache and budget.
    price
        What tokens cost.

    Raises
    ------
    ModelMissingError
        The package ``openai`` is not installed.
    ValueError
        No address is configured.
    """

    def __init__(self, settings: JudgeSettings, ledger: Ledger, price: Price) -> None:
        if settings.base_url is None:
            raise ValueError("judge.base_url is empty: nothing is sent anywhere before it is set")
        try:
            from openai import OpenAI
        except ImportError as error:
            raise ModelMissingError(
                "The judge needs the package openai, which is not installed. Install it: pip install 'undertow[judge]'"
            ) from error
        self.settings = settings
        self.ledger = ledger
        self._price = price
        self._budget = Budget(settings.max_calls_per_day, settings.max_tokens_per_day, settings.max_usd_per_day)
        key = settings.api_key.get_secret_value() if settings.api_key else "none"
        self._client = OpenAI(
            base_url=settings.base_url, api_key=key, timeout=settings.timeout_s, max_retries=settings.retries
        )
        self._forms: tuple[_Form, ...] = _FORMS
        self._cold = True  # whether the model takes a temperature

    def ask(self, question: Question[T]) -> T:
        """Return the model's judgement.

        Raises
        ------
        NotJudged
            The budget is used up, the text too long, the model did not answer, or twice not in the form asked for.
        """
        key = self._key(question)
        known = self.ledger.said(key)
        if known is not None:
            return question.check(json.loads(known))
        messages = fenced(question.task, question.form, question.material)
        if sum(len(message["content"]) for message in messages) > self.settings.max_chars:
            raise NotJudged(f"the text is longer than judge.max_chars = {self.settings.max_chars:,}", later=False)
        said = self._call(question, messages)
        try:
            value, result = _read(said, question.check)
        except ValueError as error:
            repair = {"role": "user", "content": _WRONG.format(why=error)}
            said = self._call(question, [*messages, {"role": "assistant", "content": said}, repair])
            try:
                value, result = _read(said, question.check)
            except ValueError as again:
                raise NotJudged(
                    f"the judge answered twice in a form that cannot be used: {again}", later=False
                ) from None
        self.ledger.remember(key, json.dumps(value))
        return result

    def _key(self, question: Question[T]) -> str:
        parts = [self.settings.base_url, self.settings.model, question.version, question.task, question.material]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def _call(self, question: Question[T], messages: list[dict[str, str]]) -> str:
        """Make one call within the budget and enter what it took."""
        import openai

        tokens = sum(len(message["content"]) for message in messages) // _CHARS_PER_TOKEN + _ANSWER_TOKENS
        usd = self._price(tokens - _ANSWER_TOKENS, _ANSWER_TOKENS)
        if usd is None and self._budget.usd is not None:
            raise NotJudged(
                f"the price of {self.settings.model} is unknown, so judge.max_usd_per_day cannot be kept;"
                " give it in cost.prices",
                later=True,
            )
        call_id = self.ledger.reserve(self._budget, self.settings.model, question.purpose, tokens, usd)
        if call_id is None:
            raise NotJudged("the judge's budget of the day is used up", later=True)
        started = time.monotonic()
        try:
            reply = self._send(question, messages)
        except (openai.OpenAIError, ValueError) as error:
            self.ledger.settle(call_id, "failed", 0, 0, 0.0, 1000 * (time.monotonic() - started))
            raise NotJudged(f"the judge did not answer: {type(error).__name__}", later=True) from error
        spent = _spent(reply, (tokens - _ANSWER_TOKENS, _ANSWER_TOKENS))
        self.ledger.settle(call_id, "ok", *spent, self._price(*spent), 1000 * (time.monotonic() - started))
        return _said(reply)

    def _send(self, question: Question[T], messages: list[dict[str, str]]) -> Any:
        """Ask for structured output as far as the model can do it.

        What it cannot do is remembered only once a plainer request succeeded: a request can be bad for other reasons.
        """
        import openai

        create: Any = self._client.chat.completions.create
        for place, form in enumerate(forms := self._forms):
            for settings in ({"temperature": 0}, {}) if self._cold else ({},):
                try:
                    reply = create(
                        model=self.settings.model,
                        messages=messages,
                        **settings,
                        **form(question.purpose, question.schema),
                    )
                except openai.APIStatusError as error:
                    if error.status_code not in _NOT_UNDERSTOOD:
                        raise
                    failure = error
                    if "temperature" not in str(error.body).lower():
                        break
                else:
                    self._forms, self._cold = forms[place:], bool(settings)
                    return reply
        raise failure


_NOT_UNDERSTOOD = (400, 415, 422, 501)
"""Statuses by which servers say that they do not know an option of the request."""


def _spent(reply: Any, expected: tuple[int, int]) -> tuple[int, int]:
    """Return the tokens of a reply; what the server does not tell is what was expected."""
    used = getattr(reply, "usage", None)
    told = (getattr(used, "prompt_tokens", None), getattr(used, "completion_tokens", None))
    tokens = [got if isinstance(got, int) and got >= 0 else usual for got, usual in zip(told, expected, strict=True)]
    return tokens[0], tokens[1]


def _said(reply: Any) -> str:
    """Return the text of a reply.

    Raises
    ------
    NotJudged
        The model refused, or the server answered with something else than a chat completion.
    """
    choices = getattr(reply, "choices", None)
    if choices is None:
        raise NotJudged("the judge did not answer: what came is no chat completion", later=True)
    message = choices[0].message if choices else None
    if getattr(message, "refusal", None) or (choices and choices[0].finish_reason == "content_filter"):
        raise NotJudged("the judge refused to judge this text", later=False)
    content = getattr(message, "content", None) or ""
    if isinstance(content, list):  # some servers send parts
        content = "".join(part.get("text") or "" for part in content if isinstance(part, dict))
    return str(content)


def _by_schema(name: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    wanted = {"name": name, "schema": schema, "strict": True}
    return {"response_format": {"type": "json_schema", "json_schema": wanted}}


def _as_object(name: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"response_format": {"type": "json_object"}}


def _as_text(name: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {}


_Form = Callable[[str, Mapping[str, Any]], dict[str, Any]]
_FORMS: tuple[_Form, ...] = (_by_schema, _as_object, _as_text)
_THOUGHT = re.compile(r"\A\s*<(think|thinking|reasoning)>.*?</\1>", re.DOTALL)


def _read(said: str, check: Callable[[Any], T]) -> tuple[Any, T]:
    """Parse and check an answer: its last object, which nothing malformed may follow.

    Code fences and words around it do no harm. The last one counts, because a model that thinks aloud may quote an
    object out of the material before it gives its own.
    """
    text = _THOUGHT.sub("", said)
    decoder = json.JSONDecoder()
    value, start, whole = None, text.find("{"), False
    while start >= 0:
        try:
            value, end = decoder.raw_decode(text, start)
            whole = True
        except (json.JSONDecodeError, RecursionError):
            whole, end = False, start + 1
        start = text.find("{", end)
    if value is None and "{" not in text:
        raise ValueError("it holds no JSON object")
    if not whole:
        raise ValueError("its JSON object is malformed or was cut off")
    return value, check(value)
