"""The crop stage of ours.py with sources that say that nothing is waited for: a worker reads one image after the other.

    python benchmarks/in_turn.py dataset.toml

Workers import this module, too, and so have the sources of here.
"""

import json
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

import ours

from dataset_assets.sources.folder import FolderSource
from dataset_assets.sources.kinds import make_source


class InTurn(FolderSource):
    """A folder whose images are read when it is their turn, wherever it is."""

    @property
    def at_once(self) -> int:
        """One."""
        return 1


def make_in_turn(*described: Any) -> InTurn:
    """Return the source that is described, of this kind."""
    found = make_source(*described)
    if not isinstance(found, FolderSource):
        raise SystemExit(f"{found} is no folder")
    return InTurn(path=found.path, prefix=found.prefix, skip=found.skip)


if __name__ == "__main__":
    with patch("dataset_assets.dataset.make_source", make_in_turn):
        print(json.dumps(ours.crops(Path(sys.argv[1]))))
