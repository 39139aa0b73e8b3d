"""Wordings by which a text tries to take over an assistant, in RE2: linear in a text that an attacker wrote."""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import islice
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
_INNER = (
    r"(?:(?:system|initial|hidden|internal|base|original|secret|underlying|core|full|complete|exact|current|actual)\W+)*"
    r"(?:prompts?|instructions?|configurations?|configs?|setup|initiali[sz]ation|parameters|guidelines|directives?"
    r"|constraints|restrictions|programming|protocols|internals|settings|preamble)"
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
    "internals": (
        rf"(?i)\b(?:{_SAY}|describe|explain|access|disclosure of|transparency (?:about|of))\b(?:\W+\w+){{0,3}}"
        rf"\W+(?:your|its|the (?:ai|assistant|model|bot)(?:'s)?|ai|chatbot)\W+(?:own\W+)?{_INNER}\b"
    ),
    "skip_checks": (
        r"(?i)\b(?:skip\w*|disabl\w*|bypass\w*|remov\w*|turn off|without|ignor\w*|suspend\w*|lift\w*|drop)\b"
        r"(?:\W+\w+){0,2}\W+(?:safety (?:\w+ )?(?:checks?|measures|filters?|protocols?|mode|guidelines|layer)"
        r"|content (?:filter|polic)\w*"
        r"|(?:input )?(?:validation|verification|sanitization|authori[sz]ation) (?:steps?|checks?|layer|filter))\b"
        r"|\bprivileged? (?:mode|access) (?:granted|enabled|activated)\b"
    ),
    "forced_phrase": (
        r"(?i)\bpwned\b|\b(?:say|print|output|write|repeat|respond with|reply with|answer with|return|type)\W+"
        r"(?:only|just|exactly|nothing but)\b.{0,40}['\"“‘]"
    ),
    "other_language": (
        r"(?i)\b(?:ignor[ae]|ignoren|ignorad|olvid[ae]|descarta|omite)\b(?:\W+\w+){0,4}"
        r"\W+(?:instruccion|reglas|indicacion|directric|órdenes)\w*"
        r"|\b(?:ignore[rz]?|oublie[rz]?|néglige[rz]?|contourne[rz]?)\b(?:\W+\w+){0,4}"
        r"\W+(?:consignes?|règles|instructions (?:précédentes|antérieures|ci-dessus))\b"
        r"|\b(?:ignorier\w*|vergiss|vergessen sie|missachte\w*|umgeh\w*)\b(?:\W+\w+){0,4}"
        r"\W+(?:(?:system|sicherheits)?(?:anweisung|regel|richtlinie|vorgabe|instruktion))\w*"
        r"|\b(?:ignora|dimentica|ignorare|tralascia|esqueça|ignore|desconsidere)\b(?:\W+\w+){0,4}"
        r"\W+(?:istruzioni|regole|instruções|regras|diretrizes)"
        r"|\b(?:negeer|vergeet|zignoruj|zapomnij)\b(?:\W+\w+){0,4}"
        r"\W+(?:instructies|regels|instrukcj|poleceni|zasad)\w*"
        r"|(?:игнорируй|забудь|проигнорируй|не обращай внимания на)\S*\s+(?:\S+\s+){0,4}"
        r"(?:инструкци|указани|правил|запрос|команд)"
        r"|(?:忽略|无视|無視|忘记|忘記|不要遵守)[^。.\n]{0,12}(?:指令|指示|规则|規則|提示|说明|說明|命令)"
        r"|(?:指示|命令|ルール|プロンプト)[^。\n]{0,8}(?:無視|忘れ)|(?:지시|명령|규칙)\S*\s*(?:모두\s*)?(?:무시|잊)"
        r"|(?:تجاهل|انس)\s+(?:\S+\s+){0,3}(?:التعليمات|الأوامر|القواعد)"
        r"|(?:התעלם|תתעלם|שכח)\s+(?:\S+\s+){0,3}(?:מההוראות|ההוראות|הכללים)"
    ),
    "reversed": r"(?i)snoitcurtsni|\berongi\b|tpmorp metsys|dragersid|vafgehpgvbaf|\bvtaber\b",
    "execute": (
        r"(?i)\b(?:eval|exec|execvp?|os\.system|popen|__import__|runtime\.exec|execsync|(?:sub)?process\.\w+) ?\("
        r"|\bbase64 (?:-d|--decode)\b|\b(?:bash|sh|zsh|cmd|python3?|perl|ruby|node|php) -[cer]\b|\bwhoami\b|/etc/passwd"
        r"|\bchild_process\b|\bfromcharcode\b|\bbytes\.fromhex\b|<!--# ?exec|\brm -rf\b"
        r"|\b(?:execute|run|eval|invoke) ?: ?`"
        r"|\bdecode (?:this|the following)(?:\W+\w+){0,6}\W+(?:follow|execute|run|obey|comply)\b"
    ),
}
"""Rule to expression. Each is read on the text and on the text with its disguise taken off."""

_LEET = str.maketrans("013457@$!|", "oieastasil")
_LOOKALIKES = str.maketrans("аеорсухіјѕԁһӏϲοАВЕКМНОРСТХ", "aeopcyxijsdhlcoABEKMHOPCTX")
INVISIBLE = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff\u00ad]")
_ORDINAL = re.compile(r"\d+[A-Za-z]{1,2}")
_WORD = re.compile(r"\S+")
_SPACED = re.compile(r"\b(?:[A-Za-z][ ._*-]){4,}[A-Za-z]\b")
_SLASHED = re.compile(r"\\(?=[^\W\d_ntr]|[ntr]\\| )")
_SLASHES = 0.3
_ENCODED = re.compile(
    r"(?<![\w+/=-])(?:[A-Za-z0-9+/_-]{16,4000}={0,2}|(?:[0-9a-f]{2}){8,2000}|(?:[0-9A-F]{2}){8,2000})(?![\w+/])"
)
_MOST_ENCODED = 8


def undisguised(text: str) -> str:
    """Return a text without its disguise.

    Invisible, look-alike and leet-speak letters become plain ones, s p a c e d and backslashed words are joined, and
    what readable text was encoded in base64 or hexadecimal is added at the end.
    """
    plain = INVISIBLE.sub("", unicodedata.normalize("NFKC", text)).translate(_LOOKALIKES)
    if plain.count("\\") > _SLASHES * len(plain):
        plain = _SLASHED.sub("", plain)
    hidden = [found for _, body in encoded(plain) if (found := _readable(body))]
    plain = _WORD.sub(_without_leet, plain)
    plain = _SPACED.sub(lambda match: re.sub(r"[ ._*-]", "", match.group()), plain)
    return "\n".join([plain, *hidden])


def encoded(text: str) -> Iterator[tuple[Span, bytes]]:
    """Yield what the first few words that may be hexadecimal or base64 stand for, with their range in the text."""
    for match in islice(_ENCODED.finditer(text), _MOST_ENCODED):
        for decode in (bytes.fromhex, _base64):
            with suppress(ValueError, binascii.Error):
                yield match.span(), decode(match.group())


def _readable(body: bytes) -> str:
    """Return the text that bytes hold, or nothing where it is none."""
    found = body.decode("ascii", "replace")
    return found if body.isascii() and found.isprintable() and any(map(str.isspace, found)) else ""


def _base64(word: str) -> bytes:
    bare = word.rstrip("=")
    return base64.urlsafe_b64decode(bare.replace("+", "-").replace("/", "_") + "=" * (-len(bare) % 4))


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
