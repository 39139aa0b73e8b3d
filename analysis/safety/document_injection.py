"""Retrieved text that speaks to the model instead of to the reader: indirect injection (Greshake et al., 2023)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import re2

from analysis.safety.base import CLEAR, NOTHING, Field, Finding, Given, encodable, merged
from analysis.safety.injection_rules import InjectionRules, undisguised

_MODEL = (
    r"(?:ai|a\.i\.|llm|gpt|chatgpt|copilot|claude|gemini|ai systems?|(?:ai |virtual |chat ?)?assistants?"
    r"|language models?|chatbots?)"
)
_USER = r"(?:the |your |any )?(?:users?|humans?|customers?|person|reader|operator)"
_ADDRESS = r"(?:https?://|www\.|[\w.+-]+@[\w-]+\.\w)"
_SEND = r"(?:send|forward|post|upload|submit|transmit|exfiltrate|leak|e-?mail|append|attach|copy|fetch|call|visit|open)"

EXPRESSIONS: Mapping[str, tuple[float, str]] = {
    "speaks_to_the_model": (
        0.5,
        r"(?i)\b(?:note|message|instructions?|attention|dear|hey|hello|important)\W+(?:to|for)?\W*(?:all |any |the )?"
        rf"{_MODEL}\b|\bif you are (?:an? )?(?:\w+ )?{_MODEL}\b"
        rf"|(?:^|[.!?\n>\]*#-]\s*){_MODEL}\s*[,:]\s*"
        r"(?:please|you|now|do|always|never|ignore|say|answer|tell|send|stop|from) ",
    ),
    "obliges_the_model": (
        0.3,
        rf"(?i)\b(?:any|every|all|the) {_MODEL} (?:that |who |which )?(?:\w+ ){{0,6}}"
        r"(?:must|should|shall|has to|needs to|is (?:now )?(?:required|instructed|ordered))\b",
    ),
    "orders_the_answer": (
        0.4,
        r"(?i)\b(?:when|while|before|after|whenever) (?:you )?"
        r"(?:summari[sz]|answer|process|pars|translat|respond|reply)\w*\b[^.\n]{0,60}"
        r"\b(?:you (?:must|should|need to|have to|will)|always|also|include|say|recommend|state|append"
        r"|do not|don't|never)\b|\b(?:your|the assistant's) (?:answer|reply|response|summary|output) (?:must|shall)\b"
        r"|\bforget (?:what|everything|all) (?:\w+ )?you (?:were|have been|know)\b",
    ),
    "hides_from_the_user": (
        0.5,
        r"(?i)\b(?:do not|don't|never|without) (?:tell|mention|inform|reveal|notify|alert|warn)(?:ing)?\b"
        rf"[^.\n]{{0,30}}(?:{_USER}|these instructions|this (?:instruction|message|note))\b",
    ),
    "sends_data_away": (
        0.5,
        rf"(?i)\b{_SEND}\b[^.\n]{{0,80}}(?:conversation|chat|history|passwords?|credentials?|api keys?|tokens?|secrets?"
        r"|session|cookies?|personal data|context|system prompt|e-?mails|messages|documents|files)"
        rf"[^\n]{{0,60}}{_ADDRESS}|!\[[^\]\n]{{0,80}}\]\(https?://[^)\s]{{0,200}}[?&][\w-]+=(?:\{{|<|\$|%7b|\[)",
    ),
    "tool_order": (
        0.4,
        r"(?i)\b(?:call|invoke|use|run|execute|trigger) (?:the )?[`'\"]?\w+[`'\"]? (?:tool|function|plugin)\b"
        r"|<(?:tool_call|function_call|invoke)\b",
    ),
    "hidden_text": (
        0.4,
        rf"(?is)<!--[^>]{{0,400}}\b(?:ignore|instructions?|{_MODEL}|prompt)\b[^>]{{0,400}}-->"
        r"|(?:display: ?none|visibility: ?hidden|font-size: ?0|opacity: ?0|color: ?(?:white|#fff\b))",
    ),
}
"""Rule to its weight and expression. What a manual for people may hold too needs a second rule."""

_DIRECT: Mapping[str, float] = {
    "override": 0.6, "persona": 0.6, "other_language": 0.6, "false_authority": 0.5, "reveal": 0.5, "mode": 0.5,
    "internals": 0.5, "reversed": 0.5, "forced_phrase": 0.5, "skip_checks": 0.3, "execute": 0.3,
}  # fmt: skip
"""Weights of the rules for questions: a manual holds code and safety rules, hardly an order to forget them."""


class DocumentInjection:
    """Rules over the text of a retrieved document; any language where the rules know it, otherwise nothing is found.

    Weights combine as independent chances, ``1 - prod(1 - weight)``.
    """

    name = "document_injection"
    version = "1"
    fields: tuple[Field, ...] = ("document",)
    threshold = 0.5

    def __init__(self) -> None:
        self._direct = InjectionRules()
        self._rules: tuple[tuple[str, float, Any], ...] = tuple(
            (name, weight, re2.compile(expression)) for name, (weight, expression) in EXPRESSIONS.items()
        )

    def score(self, text: str, given: Given = NOTHING) -> Finding:
        """Judge one document."""
        text = encodable(text)
        plain = undisguised(text)
        names, spans = self._direct.find(text, plain)
        calm = 1.0
        for name in names:
            calm *= 1 - _DIRECT.get(name, 0.0)
        for name, weight, expression in self._rules:
            here = [match.span() for match in expression.finditer(text) if match.end() > match.start()]
            if here or (plain != text and expression.search(plain)):
                names.append(name)
                spans += here
                calm *= 1 - weight
        value = 1 - calm
        if value < self.threshold:
            return Finding(value, CLEAR, (), self.threshold)
        return Finding(value, ", ".join(names), merged(spans), self.threshold)
