"""What is counted of the merged ids: where their texts came from, what is wrong with them, how long they are."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dataset_assets.trainer.output.texts import LONG, MARKS

BIN = 5  # tokens of a bar of the histogram
BINS = 61  # the last one is of all that are longer
EMPTY = "empty"
FINDINGS = (*MARKS, EMPTY, *(f"over {limit} tokens" for limit in LONG))

_EXAMPLES = 10


@dataclass(slots=True, kw_only=True)
class Tally:
    """The counts of some ids; those of several stretches add up. Counted are captions as they were written."""

    ids: int = 0
    sources: Counter[str] = field(default_factory=Counter)  # every id is in one of them
    reasons: dict[str, Counter[str]] = field(default_factory=dict)  # tags, caption, latent → why it is missing
    findings: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)  # finding → the keys of the first
    lengths: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(BINS, np.int64))  # by tokens // BIN
    repeated: Counter[str] = field(default_factory=Counter)  # rows of a role that a later one of the same id replaced
    respelled: Counter[str] = field(default_factory=Counter)  # of a role: more keys of an id than one
    unused: Counter[str] = field(default_factory=Counter)  # rows of a role whose id is not in the id list

    def add(self, other: "Tally") -> None:
        """Add the counts of other ids, which come after these."""
        self.ids += other.ids
        self.lengths = self.lengths + other.lengths
        for name in ("sources", "findings", "repeated", "respelled", "unused"):
            getattr(self, name).update(getattr(other, name))
        for missing, reasons in other.reasons.items():
            self.reasons.setdefault(missing, Counter()).update(reasons)
        for finding, keys in other.examples.items():
            known = self.examples.setdefault(finding, [])
            known += keys[: _EXAMPLES - len(known)]

    def count_texts(
        self,
        keys: pa.LargeStringArray,
        marks: npt.NDArray[np.uint8],
        tokens: npt.NDArray[np.int64],
        there: npt.NDArray[np.bool_],
    ) -> None:
        """Count what is found in captions; `there` says which are not empty."""
        self.lengths = self.lengths + np.bincount(np.minimum(tokens[there] // BIN, BINS - 1), minlength=BINS)
        found = [(marks & (1 << bit)) != 0 for bit in range(len(MARKS))]
        for finding, hits in zip(FINDINGS, [*found, ~there, *(tokens > limit for limit in LONG)], strict=True):
            places = np.flatnonzero(hits)
            if len(places):
                self.findings[finding] += len(places)
                self.examples[finding] = keys.take(pa.array(places[:_EXAMPLES])).to_pylist()
