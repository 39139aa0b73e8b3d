"""One question to a judging model: cached, within the budget, fenced, checked, repaired once."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from analysis.judge.fence import fenced
from analysis.judge.ledger import Budget, Ledger
from undertow.config import JudgeSettings
from undertow.errors import ModelMissingError

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletion

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
        self._forms = list(_FORMS)

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
        except openai.OpenAIError as error:
            self.ledger.settle(call_id, "failed", 0, 0, 0.0, 1000 * (time.monotonic() - started))
            raise NotJudged(f"the judge did not answer: {type(error).__name__}", later=True) from error
        used = reply.usage
        spent = (used.prompt_tokens, used.completion_tokens) if used else (tokens - _ANSWER_TOKENS, _ANSWER_TOKENS)
        self.ledger.settle(call_id, "ok", *spent, self._price(*spent), 1000 * (time.monotonic() - started))
        return (reply.choices[0].message.content or "") if reply.choices else ""

    def _send(self, question: Question[T], messages: list[dict[str, str]]) -> ChatCompletion:
        """Ask for structured output as far as the model can do it."""
        import openai

        create: Any = self._client.chat.completions.create
        while True:
            form = self._forms[0]
            try:
                reply: ChatCompletion = create(
                    model=self.settings.model, messages=messages, **form(question.purpose, question.schema)
                )
            except (openai.BadRequestError, openai.UnprocessableEntityError):
                if form is _FORMS[-1]:
                    raise
                if self._forms[0] is form:  # another thread may have found out first
                    self._forms.pop(0)
            else:
                return reply


def _by_schema(name: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    wanted = {"name": name, "schema": schema, "strict": True}
    return {"temperature": 0, "response_format": {"type": "json_schema", "json_schema": wanted}}


def _as_object(name: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"temperature": 0, "response_format": {"type": "json_object"}}


def _as_text(name: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {}


_FORMS = (_by_schema, _as_object, _as_text)


def _read(said: str, check: Callable[[Any], T]) -> tuple[Any, T]:
    """Parse and check an answer; a code fence or a word before the object does no harm."""
    start = said.find("{")
    if start < 0:
        raise ValueError("it holds no JSON object")
    try:
        value, _ = json.JSONDecoder().raw_decode(said, start)
    except (json.JSONDecodeError, RecursionError):
        raise ValueError("its JSON object is malformed") from None
    return value, check(value)
