"""Words of equal, opposite and neighbouring meaning, from the files of WordNet 3.0.

Debian carries them as ``wordnet-base`` in ``/usr/share/wordnet``. Only the training of the encoder reads them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path("/usr/share/wordnet")
_PARTS = {"n": "noun", "v": "verb", "a": "adj", "r": "adv"}
_MOST_NEIGHBOURS = 40
_SHORTEST_LEMMA = 4
_ENDINGS = (
    ("", ("",), ""),
    ("ies", ("y",), "s"),
    ("es", ("", "e"), "s"),
    ("s", ("",), "s"),
    ("ed", ("", "e"), "ed"),
    ("ing", ("", "e"), "ing"),
)


@dataclass(frozen=True, slots=True)
class Synset:
    """One meaning: its words and its relations (symbol, address of the target, index of source and target word)."""

    words: tuple[str, ...]
    pointers: tuple[tuple[str, str, int, int], ...]


class WordNet:
    """Synonyms, antonyms and sisters of a word in its commonest sense.

    Parameters
    ----------
    vocabulary
        Words common enough to be offered; those of a tokenizer will do.
    folder
        Holds `data.noun`, `index.noun` and so on.
    """

    def __init__(self, vocabulary: Collection[str], folder: Path = FOLDER) -> None:
        self._vocabulary = vocabulary
        self._synsets: dict[str, Synset] = {}
        self._senses: dict[tuple[str, str], list[str]] = {}
        self._counted: dict[tuple[str, str], int] = {}
        for part, name in _PARTS.items():
            self._read_data(folder / f"data.{name}", part)
            self._read_index(folder / f"index.{name}", part)
        self._below: dict[str, list[str]] = defaultdict(list)
        for key, synset in self._synsets.items():
            for symbol, target, _, _ in synset.pointers:
                if symbol == "@":
                    self._below[target].append(key)

    def _read_data(self, path: Path, part: str) -> None:
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith(" "):
                continue
            fields = line.split(" | ")[0].split()
            n_words = int(fields[3], 16)
            words = tuple(fields[4 + 2 * i].split("(")[0] for i in range(n_words))
            at = 4 + 2 * n_words
            pointers = []
            for i in range(int(fields[at])):
                symbol, offset, target, ends = fields[at + 1 + 4 * i : at + 5 + 4 * i]
                pointers.append((symbol, target.replace("s", "a") + offset, int(ends[:2], 16), int(ends[2:], 16)))
            self._synsets[part + fields[0]] = Synset(words, tuple(pointers))

    def _read_index(self, path: Path, part: str) -> None:
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith(" "):
                continue
            fields = line.split()
            n = int(fields[2])
            self._senses[fields[0], part] = [part + offset for offset in fields[-n:]]
            self._counted[fields[0], part] = int(fields[-n - 1])

    def parts(self, lemma: str) -> list[str]:
        """Return the parts of speech of a lemma, the one with most tagged senses first."""
        found = [part for part in _PARTS if (lemma, part) in self._senses]
        return sorted(found, key=lambda part: -self._counted[lemma, part])

    def synonyms(self, lemma: str, part: str) -> list[str]:
        """Return single words that share the first sense, and have it as their own first."""
        first = self._senses[lemma, part][0]
        return [
            word
            for word in self._synsets[first].words
            if word != lemma and word.isalpha() and word.islower() and self._is_common(word, part, first)
        ]

    def antonyms(self, lemma: str, part: str) -> list[str]:
        """Return the opposites of the first two senses; of adjectives also those of the cluster's head."""
        found = []
        for key in self._senses[lemma, part][:2]:
            heads = [key] + [target for symbol, target, _, _ in self._synsets[key].pointers if symbol == "&"]
            for head in heads if part == "a" else heads[:1]:
                for symbol, target, _, word in self._synsets[head].pointers:
                    if symbol == "!":
                        found.append(self._synsets[target].words[word - 1])
        return [word for word in dict.fromkeys(found) if word in self._vocabulary]

    def sisters(self, lemma: str, part: str) -> list[str]:
        """Return common words under the same next wider meaning, none of them a synonym in any sense."""
        own = {word for key in self._senses[lemma, part] for word in self._synsets[key].words}
        wider = [
            target for symbol, target, _, _ in self._synsets[self._senses[lemma, part][0]].pointers if symbol == "@"
        ]
        found = []
        for key in wider:
            for sister in self._below[key]:
                for word in self._synsets[sister].words:
                    if word not in own and word.isalpha() and word.islower() and self._is_common(word, part, sister):
                        found.append(word)
        return found[:_MOST_NEIGHBOURS]

    def _is_common(self, word: str, part: str, synset: str) -> bool:
        counted = self._counted.get((word, part), 0) > 0 and word in self._vocabulary
        return counted and self._senses[word, part][0] == synset


def lemmas(word: str, words: WordNet) -> list[tuple[str, str]]:
    """Return the lemma that a word may be the form of, with the ending that was cut; at most one."""
    for ending, replacements, kept in _ENDINGS:
        if not word.endswith(ending):
            continue
        for replacement in replacements:
            lemma = word[: len(word) - len(ending)] + replacement
            if len(lemma) >= _SHORTEST_LEMMA and words.parts(lemma):
                return [(lemma, kept)]
    return []


def inflect(lemma: str, ending: str) -> str:
    """Put an ending on a regular word."""
    if ending == "s":
        if lemma.endswith("y") and lemma[-2:-1] not in "aeiou":
            return lemma[:-1] + "ies"
        return lemma + ("es" if lemma.endswith(("s", "x", "ch", "sh")) else "s")
    if ending in ("ed", "ing") and lemma.endswith("e"):
        return lemma[:-1] + ending
    if ending == "ed" and lemma.endswith("y") and lemma[-2:-1] not in "aeiou":
        return lemma[:-1] + "ied"
    return lemma + ending
