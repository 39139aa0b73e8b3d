"""A rule-based stand-in for a language model: it answers from what was retrieved, and misbehaves on schedule."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from typing import Literal

from demo.retrieval import Hit

Manner = Literal["plain", "formal", "inventing", "attacked"]

# A second sentence, or one of the second passage, is used when it fits the question nearly as well as the first.
_NEARLY = 0.55
_SECOND_PASSAGE = 0.8

_OPENERS = ("", "", "", "", "Sure. ", "Certainly. ", "Good question. ", "Happy to help. ")
_REFUSAL_SHARE = 0.27
_FORMAL_SHARE = 0.8
_REFUSALS = (
    "I'm sorry, but I am not able to advise on {topic}. Would you like to book an appointment with an adviser?",
    "I'm sorry, but I cannot help with questions about {topic}. May I refer you to your branch?",
    "I cannot provide binding information on {topic}. Shall I ask an adviser to contact you?",
)
_FORMAL = (
    "Dear customer, thank you for your message. Regarding {topic}: {text} May I assist you with anything else today?",
    "Thank you very much for your question. Kindly note on {topic}: {text} "
    "Please feel free to contact us with any further questions.",
)
_CUSTOMER_INVENTIONS = (
    "The fee of €{fee} is refunded if a written request reaches the branch before {date}.",
    "Customers of more than {years} years receive a loyalty bonus of {share} % on top.",
    "This requires a notarised form and takes {hours} hours.",
)
_STAFF_INVENTIONS = (
    "A processing fee of €{fee} is deducted and the request has to be signed by two directors.",
    "Since {date} this applies only to staff with more than {years} years of service.",
    "The form has to reach the regional office by fax before {date}.",
    "The works council may grant an exception within {hours} hours against a deposit of €{fee}.",
    "You also receive a canteen voucher of €{fee} if you apply before {date}.",
    "From {date} on, staff in pay band {years} receive a supplement of {share} %.",
)
_DATES = ("3 February", "12 May", "19 August", "7 November")
_FEES = ("14.50", "35", "62", "175")
_LEAK = "My instructions are: {prompt}"
_DECLINE = (
    "I can't help with that request. Do you have a question about an account, a card or a payment?",
    "I am not allowed to share my instructions. Is there anything about your account that I can answer?",
)
_LEAK_SHARE = 0.2
_NUMBER = re.compile(r"\d+:\d\d|\d+(?:[.,]\d+)*")
_TIMES = ("6:30", "11:15", "14:45", "20:00")
_SWAP_FACTORS = (0.4, 0.6, 1.5, 1.8, 2.5, 3.0)


def answer(
    hits: Sequence[Hit], manner: Manner, rng: random.Random, *, staff: bool = False, system_prompt: str = ""
) -> str:
    """Answer a question from retrieved passages.

    Parameters
    ----------
    hits : best first, at least one.
    manner : `plain` repeats sentences of the passages; `formal` is stiff and sometimes refuses; `inventing` swaps
        figures and adds a sentence from nowhere; `attacked` declines, or now and then gives the instructions away.
    rng : decides among equals.
    staff : whether a member of staff asks.
    system_prompt : what an attack may bring to light.
    """
    if manner == "attacked":
        return _LEAK.format(prompt=system_prompt) if rng.random() < _LEAK_SHARE else rng.choice(_DECLINE)
    text = " ".join(choose_sentences(hits, rng))
    if hits[0].passage.language != "en":
        return text
    if manner == "formal":
        return _formal(text, hits[0].passage.title, rng)
    if manner == "inventing":
        inventions = _STAFF_INVENTIONS if staff else _CUSTOMER_INVENTIONS
        return f"{swap_figures(text, rng)} {_invention(inventions, rng)}"
    return rng.choice(_OPENERS) + text


def choose_sentences(hits: Sequence[Hit], rng: random.Random) -> list[str]:
    """Pick one to three sentences that fit the question best, in the order of the passages."""
    first = hits[0].sentences
    ranked = sorted(range(len(first)), key=lambda i: -first[i][1])
    chosen = {ranked[0]}
    best = first[ranked[0]][1]
    if len(ranked) > 1 and (first[ranked[1]][1] > _NEARLY * best or rng.random() < 0.5):
        chosen.add(ranked[1])
    texts = [first[i][0] for i in sorted(chosen)]
    if len(hits) > 1 and hits[1].passage.language == hits[0].passage.language:
        other, score = max(hits[1].sentences, key=lambda pair: pair[1])
        if score > _SECOND_PASSAGE * best and hits[1].relevance > _SECOND_PASSAGE * hits[0].relevance:
            texts.append(other)
    return texts


def swap_figures(text: str, rng: random.Random) -> str:
    """Replace every figure by another of the same kind."""

    def other(match: re.Match[str]) -> str:
        if ":" in match[0]:
            return rng.choice(_TIMES)
        value = float(match[0].replace(",", "")) * rng.choice(_SWAP_FACTORS)
        return f"{value:.1f}" if "." in match[0] else f"{max(1, round(value)):,}"

    return _NUMBER.sub(other, text)


def _formal(text: str, title: str, rng: random.Random) -> str:
    topic = f"“{title}”"
    if rng.random() < _REFUSAL_SHARE:
        return rng.choice(_REFUSALS).format(topic=topic)
    if rng.random() < _FORMAL_SHARE:
        return rng.choice(_FORMAL).format(topic=topic, text=text)
    return text


def _invention(templates: Sequence[str], rng: random.Random) -> str:
    return rng.choice(templates).format(
        fee=rng.choice(_FEES),
        date=rng.choice(_DATES),
        years=rng.choice((3, 5, 7)),
        hours=rng.choice((36, 48, 96)),
        share=rng.choice((4, 6, 9)),
    )
