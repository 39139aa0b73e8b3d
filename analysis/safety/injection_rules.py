"""Wordings by which a text tries to take over an assistant, in RE2: linear in a text that an attacker wrote."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

import re2

from analysis.safety.base import Span

_RULES_OF_IT = (
    r"(?:instruct\w*|rules?|guidelines?|guidance|prompts?|directions?|directives?|commands?|restrictions?|polic(?:y|ies)"
    r"|safety|safeguards?|filter(?:s|ing)?|training|programming|protocols?|constraints?|limits?|limitations?|boundaries"
    r"|guardrails?|protections?|moderation|orders|configuration)"
)
_PUT_ASIDE = (
    r"(?:ignor\w*|disregard\w*|forget\w*|overrid\w*|overrul\w*|bypass\w*|circumvent\w*|neglect|discard|abandon|suspend"
    r"|disabl\w*|deactivat\w*|turn(?:ing)? off|switch off|evad\w*|(?:do not|don't|stop) (?:follow|obey)\w*)"
)
_SAY = (
    r"(?:reveal|show|print|repeat|output|display|tell|give|share|disclos\w*|leak|dump|expos\w*|recite|write|provide|send"
    r"|list|paste|copy|return|read|summari[sz]e|translate|encode|what (?:is|are|was|were))"
)
_HIDDEN = (
    r"(?:system|initial|hidden|original|secret|confidential|developer|internal|preset|underlying|full|entire|exact)"
    r"\W+(?:\w+\W+){0,2}(?:prompts?|instructions?|messages?|rules|configuration|guidelines|directives?)"
)
_FREE = (
    r"(?:unrestricted|uncensored|unfiltered|jailbr\w*|amoral"
    r"|no (?:\w+ )?(?:restrictions?|rules?|limits?|filters?|polic(?:y|ies)|guidelines?|ethics|boundaries)"
    r"|without (?:any |\w+ )?(?:\w+ )?(?:restrictions?|rules?|limits?|filters?|guidelines?|ethics|censorship))"
)
EXPRESSIONS: Mapping[str, str] = {
    "override": rf"(?i)\b{_PUT_ASIDE}\b(?:\W+\w+){{0,6}}\W+{_RULES_OF_IT}\b",
    "reveal": (
        rf"(?i)\b{_SAY}\b(?:\W+\w+){{0,5}}\W+(?:{_HIDDEN}"
        r"|your (?:prompt|instructions|rules|guidelines|configuration|directives?)"
        r"|(?:text|words?|lines?|everything|content) (?:above|before|preceding|prior))\b"
    ),
    "persona": (
        r"(?i)\b(?:you are now|you're now|from now on|pretend|imagine|act(?:ing)? (?:as|like)|role ?play|simulate"
        rf"|behave (?:as|like)|respond as|answer (?:as|like|without))\b(?:\W+\w+){{0,12}}\W+{_FREE}\b"
    ),
    "false_authority": (
        r"(?im)^\W{0,3}(?:system|admin(?:istrator)?|developer|root)(?: \w+)? ?[:>\]]"
        r"|<\|(?:im_start|im_end|system|endoftext)\|>|\[/?INST\]|<</?SYS>>|#{2,} ?(?:system|new) (?:prompt|instruct\w*)"
        r"|\bsystem override\b"
    ),
    "mode": (
        r"(?i)\b(?:enable|enter|activate|switch to|in|into) (?:\w+ )?(?:developer|debug|god|jailbreak|dan|sudo"
        r"|unrestricted|admin) mode\b|\bdo anything now\b"
    ),
    "execute": (
        r"(?i)\b(?:eval|exec|os\.system|popen|__import__|subprocess\.\w+) ?\(|\bbase64 (?:-d|--decode)\b|\bbash -c\b"
        r"|\bdecode (?:this|the following)(?:\W+\w+){0,6}\W+(?:follow|execute|run|obey|comply)\b"
    ),
}
"""Rule to expression. Each is read on the text and on the text with its disguise taken off."""

_LEET = str.maketrans("013457@$!|", "oieastasil")
_LOOKALIKES = str.maketrans("аеорсухіјѕԁһӏϲοАВЕКМНОРСТХ", "aeopcyxijsdhlcoABEKMHOPCTX")
_INVISIBLE = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff\u00ad]")
_ORDINAL = re.compile(r"\d+[A-Za-z]{1,2}")
_WORD = re.compile(r"\S+")
_SPACED = re.compile(r"\b(?:[A-Za-z][ ._*-]){4,}[A-Za-z]\b")


def undisguised(text: str) -> str:
    """Return a text with invisible, look-alike and leet-speak letters as plain ones and s p a c e d words joined."""
    plain = _INVISIBLE.sub("", unicodedata.normalize("NFKC", text)).translate(_LOOKALIKES)
    plain = _WORD.sub(_without_leet, plain)
    return _SPACED.sub(lambda match: re.sub(r"[ ._*-]", "", match.group()), plain)


def _without_leet(match: re.Match[str]) -> str:
    word = match.group()
    core = word.strip(".,;:?!()\"'") or word
    letters = sum(letter.isalpha() for letter in core)
    if letters < 2 or core.isalpha() or letters * 2 < len(core) or _ORDINAL.fullmatch(core):
        return word
    return word.replace(core, core.translate(_LEET))


class InjectionRules:
    """All rules over one text."""

    def __init__(self) -> None:
        self._rules: tuple[tuple[str, Any], ...] = tuple((n, re2.compile(e)) for n, e in EXPRESSIONS.items())

    def find(self, text: str, plain: str) -> tuple[list[str], list[Span]]:
        """Return the rules that fire on a text or on its undisguised form, and where they do in the text."""
        names, spans = [], []
        for name, expression in self._rules:
            here = [match.span() for match in expression.finditer(text)]
            if here or (plain != text and expression.search(plain)):
                names.append(name)
                spans += here
        return names, spans
