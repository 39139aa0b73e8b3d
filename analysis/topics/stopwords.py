"""Words that say nothing about a topic: scikit-learn's English list with corrections, and other languages.

`FILLERS` (articles, possessives, politeness) vanish from phrases. `FUNCTION_WORDS` neither begin nor end a
phrase, except that `PARTICLES` may end one ("top up"); `CONNECTIVES` may stand inside ("lost or stolen card",
"card not working").
"""

from __future__ import annotations

from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

# scikit-learn's list takes these for noise, yet in messages to an assistant they are subjects.
_CONTENT = frozenset(
    "amount bill bottom call computer cry detail empty fill fire front interest move name part serious side "
    "system top back full".split()
)

_ENGLISH = frozenset(
    "want need like know help tell asking ask wondering wonder question questions let hi hello hey thanks thank "
    "please can't don't doesn't didn't won't isn't i'm i've i'd i'll it's that's what's how's there's "
    "just got getting get gets make makes made does did doing use used using try trying tried work works way "
    "long going go okay ok yes really sure possible able would could should cannot cant dont im ive whats "
    "thing things something anything explain find look looking happen happens happened happening "
    "think say said come take takes".split()
)

_NEGATIONS = frozenset({"not", "no", "without", "never"})

_GERMAN = frozenset(
    "ich du er sie es wir ihr und oder aber ist sind war bin hat habe haben wie was wo wann warum wer welche "
    "welcher welches kann können könnte könnten muss soll möchte will würde nicht kein keine für mit auf von "
    "zu zum zur im in an am bei aus nach über um bitte danke hallo gibt es auch noch schon nur wenn dass ob "
    "sich mir mich dir dich uns als so man wird werden".split()
)
_ROMANCE = frozenset(
    "je tu il elle nous vous ils et ou mais est sont suis a ai avez comment que qui quoi où quand pourquoi "
    "puis peux peut pouvez dois veux voudrais ne pas pour avec sur dans de du des au aux à en par merci bonjour "
    "s'il plaît y yo tú él ella o pero es son soy he ha cómo qué quién dónde cuándo por porqué puedo puede "
    "quiero quisiera no para con sobre del al se me te gracias hola favor io lui lei noi voi e ma sono sei "
    "come che chi dove quando perché posso può voglio vorrei non per di da su grazie ciao eu ele ela nós como "
    "quem onde posso pode quero queria não para com em do da no na obrigado olá est-ce qu'est-ce j'ai "
    "hay está están tengo necesito".split()
)
_DUTCH = frozenset(
    "ik jij hij zij wij en of maar is zijn ben heb heeft hoe wat waar wanneer waarom wie kan kunnen moet wil "
    "niet geen voor met op van naar bij uit over alstublieft hallo".split()
)

PARTICLES: frozenset[str] = frozenset({"up", "off", "out", "back", "down"})

CONNECTIVES: frozenset[str] = (
    _NEGATIONS
    | PARTICLES
    | frozenset(
        "or and of to for from with by at in on und oder von zu für mit auf nicht de du d pour à en y con di".split()
    )
)

# "Days of leave": what joins a measure to what it measures.
PARTITIVES: frozenset[str] = frozenset("of von de di du d".split())

# Verbs that say nothing alone or at the end ("how does it work"), yet may begin a phrase ("work remotely").
VERBS: frozenset[str] = frozenset({"work", "working", "arbeiten"})

FILLERS: frozenset[str] = frozenset(
    "a an the my your our his her their its this these those some any please kindly just "
    "der die das den dem ein eine einen einem einer mein meine meinen meinem meiner "
    "le la les un une mon ma mes ce cette el los las una mi mis su sus lo gli il uno o os as um uma meu minha "
    "de het een mijn".split()
)

# What follows a phrase and belongs to it: an article announces an object, a particle the rest of a verb.
OPENERS: frozenset[str] = (FILLERS - frozenset("please kindly just this some any".split())) | PARTICLES

FUNCTION_WORDS: frozenset[str] = (
    (frozenset(ENGLISH_STOP_WORDS) - _CONTENT) | _ENGLISH | _NEGATIONS | _GERMAN | _ROMANCE | _DUTCH
)
