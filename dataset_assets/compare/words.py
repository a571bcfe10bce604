"""Which words of a caption are another's, too."""

import re
from collections.abc import Iterable, Iterator, Sequence
from difflib import SequenceMatcher
from itertools import groupby, takewhile
from operator import itemgetter

from dataset_assets.compare.records import Words

_WORD = re.compile(r"\s+|\w+|[^\w\s]")
# Of more words only the beginning and the end are compared: the time that difflib takes grows with their square.
_MOST = 1_000


def compare_words(a: str, b: str) -> tuple[list[Words], list[Words]]:
    """Return both texts in parts that are in the other, too, or are not; joined, the parts are the texts."""
    first, second = _WORD.findall(a), _WORD.findall(b)
    start = _count_equal(first, second)
    end = _count_equal(first[start:][::-1], second[start:][::-1])
    cut_a, cut_b = len(first) - end, len(second) - end
    same_a, same_b = ([(0, start)], [(0, start)])
    if max(cut_a, cut_b) - start <= _MOST:
        matcher = SequenceMatcher(None, first[start:cut_a], second[start:cut_b])
        for block in matcher.get_matching_blocks():
            same_a.append((start + block.a, start + block.a + block.size))
            same_b.append((start + block.b, start + block.b + block.size))
    return (
        list(_cut(first, [*same_a, (cut_a, len(first))])),
        list(_cut(second, [*same_b, (cut_b, len(second))])),
    )


def _cut(words: Sequence[str], same: Iterable[tuple[int, int]]) -> Iterator[Words]:
    """Yield the parts of a text, as long as can be; `same` are those from word to word that are the same."""
    flags = bytearray(len(words))
    for start, end in same:
        flags[start:end] = bytes([1]) * (end - start)
    for is_same, pairs in groupby(zip(flags, words, strict=True), itemgetter(0)):
        yield Words(text="".join(word for _, word in pairs), same=bool(is_same))


def _count_equal(a: Sequence[str], b: Sequence[str]) -> int:
    """Return how many words both begin with."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(a, b, strict=False)))
