"""What counts as a word of a caption, and the words that a caption shares with the prompt it was made by."""

import re
import string
from collections.abc import Mapping, Sequence
from itertools import takewhile

from dataset_assets.settings.captions import PLACEHOLDER

# What may stand around a word and is no part of it.
_EDGES = string.punctuation + "“”„‘’‚«»‹›…–—¡¿·•・。、，！？；：「」『』（）《》【】〈〉〜～"
# Scripts that put no space between words. What counts as a word there is about the average word's length.
_KANJI = "\u3005\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"  # and kana
_THAI = "\u0e01-\u0eff\u1000-\u109f\u1780-\u17ff"  # and Lao, Burmese, Khmer
_IDEOGRAPHS, _LETTERS, _UNSPACED = (re.compile(f"[{ranges}]") for ranges in (_KANJI, _THAI, _KANJI + _THAI))
_WINDOW = 5  # words: a run of 8 contains 5 words that start at a multiple of 4

Index = dict[tuple[str, ...], list[tuple[list[str], int]]]  # words in a row → the texts that have them, and where


def split_words(text: str) -> list[str]:
    """Return the words, casefolded and without the punctuation around them.

    Spaces, commas and long dashes part them. In scripts without spaces each character stands for itself.
    """
    folded = text.casefold().replace(",", " ").replace("—", " ")
    if not folded.isascii():
        folded = _UNSPACED.sub(r" \g<0> ", folded)
    return [word for token in folded.split() if (word := token.strip(_EDGES))]


def count_words(words: Sequence[str]) -> int:
    """Return how many words these are: 2 ideographs or kana count as one, 4 Thai, Lao, Burmese or Khmer letters too."""
    ideographs, letters = count_unspaced(words)
    return len(words) - ideographs - letters + (ideographs + 1) // 2 + (letters + 3) // 4


def count_unspaced(words: Sequence[str]) -> tuple[int, int]:
    """Return how many characters are of scripts without spaces: (ideographs and kana, Thai and the like)."""
    joined = "".join(words)
    if joined.isascii():
        return 0, 0
    return len(_IDEOGRAPHS.findall(joined)), len(_LETTERS.findall(joined))


class Prompts:
    """The prompts of one caption source, in which runs of a caption's words are looked up."""

    def __init__(self, prompts: Mapping[str, str]) -> None:
        """`prompts`: text by name. A {{placeholder}} is no word of the prompt, and no run goes across it."""
        self._indexes = {name: index for name, text in prompts.items() if (index := _index(text))}

    def find_run(self, words: Sequence[str], least: int) -> tuple[str, list[str]] | None:
        """Return the longest run of words that a prompt has too, and the prompt's name; None under `least` words.

        `least` is 8 or more.
        """
        longest: tuple[str, list[str]] | None = None
        for name, index in self._indexes.items():
            for run in _find_runs(words, index):
                if count_words(run) >= least and (longest is None or len(run) > len(longest[1])):
                    longest = name, run
        return longest


def _index(text: str) -> Index:
    index: Index = {}
    for piece in PLACEHOLDER.split(text)[::2]:
        words = split_words(piece)
        for at in range(len(words) - _WINDOW + 1):
            index.setdefault(tuple(words[at : at + _WINDOW]), []).append((words, at))
    return index


def _find_runs(words: Sequence[str], index: Index) -> list[list[str]]:
    """Return the runs of words that a prompt has too, of 8 words or more; shorter ones where they happen to be seen."""
    step = _WINDOW - 1
    if index.keys().isdisjoint(zip(*(words[start::step] for start in range(step)), words[step::step], strict=False)):
        return []
    return [
        _extend(words, at, prompt, there)
        for at in range(0, len(words) - step, step)
        for prompt, there in index.get(tuple(words[at : at + _WINDOW]), ())
    ]


def _extend(words: Sequence[str], at: int, prompt: Sequence[str], there: int) -> list[str]:
    """Return the longest run around a word that two texts have in common."""
    before = zip(reversed(words[:at]), reversed(prompt[:there]), strict=False)
    after = zip(words[at:], prompt[there:], strict=False)
    back = [ours for ours, _ in takewhile(_same, before)]
    return [*reversed(back), *(ours for ours, _ in takewhile(_same, after))]


def _same(pair: tuple[str, str]) -> bool:
    return pair[0] == pair[1]
