"""Which language a caption is in. The only module that imports py3langid, and only when a language is wanted."""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING

from dataset_assets.captions.review.words import count_words
from dataset_assets.errors import SettingsError

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

# Of 173,000 English, German, French and Czech captions of photographs, these two take none for another language. Where
# only English is wanted they find 99 % of the German and French ones and 94 % of the Czech.
_SURE = 0.7  # the least probability of the language found
_LEFT = 0.05  # the most that may be left for the wanted ones: near relatives, such as Danish and Norwegian, share it

# Shorter texts are names as often as not. Bytes, which are what the model reads: 20 Latin letters, 7 ideographs.
_LEAST_WORDS, _LEAST_LETTERS = 4, 20
_READ = 200  # characters: enough to tell, and a long text costs no more
_NO_LANGUAGE = "zxx"  # the model's word for numbers, markup and the like


class Languages:
    """The wanted languages, against which texts are held."""

    def __init__(self, wanted: Iterable[str]) -> None:
        """`wanted`: ISO 639 codes, as the model names them. Raises SettingsError where it does not know one."""
        self._model = _load_model()
        self._wanted = frozenset(wanted)
        if unknown := sorted(self._wanted.difference(self._model.labels)):
            allowed = ", ".join(sorted(self._model.labels))
            raise SettingsError(f'captions.review.languages: "{unknown[0]}" given; allowed: {allowed}')

    def find_foreign(self, text: str, words: Sequence[str]) -> tuple[str, float] | None:
        """Return the language that a text is in and its probability, where it surely is none of those that are wanted.

        `words` are the text's. None also where they are too few to tell.
        """
        if not _is_enough(words):
            return None
        best, probability = self._model.classify(text[:_READ])
        if best in self._wanted or best == _NO_LANGUAGE or probability < _SURE:
            return None
        left = sum(share for code, share in self._model.rank(text[:_READ]) if code in self._wanted)
        return (best, probability) if left <= _LEFT else None


def _is_enough(words: Sequence[str]) -> bool:
    letters = "".join(filter(str.isalpha, "".join(words)))
    return count_words(words) >= _LEAST_WORDS and len(letters.encode()) >= _LEAST_LETTERS


@cache
def _load_model() -> "LanguageIdentifier":
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # half a second, and 120 MB

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
