"""What a merge found, as JSON, as Markdown and as the line that the published cards print. No file is opened here."""

import json
from collections.abc import Mapping
from typing import Any

from dataset_assets.errors import IncompleteError
from dataset_assets.trainer.inputs.rows import Lack, Mended
from dataset_assets.trainer.merge.tally import BIN, FINDINGS, Tally
from dataset_assets.trainer.output.merged import MISSING
from dataset_assets.trainer.output.texts import WORD

_NOT_GIVEN = Lack.NO_INPUT.name.lower()

RULE = (
    f"Tokens are estimated without a tokenizer: a run of letters is one for every {WORD} of them begun, a run of "
    "punctuation is one, and so are every digit and every character outside ASCII."
)

SOURCES = (
    "`:partial` is a text of which some fields were missing, `tags` is what a caption falls back to or really is, "
    "`empty` has nothing but white space, `none` has nothing at all."
)

_EXPLAINED = {
    "newline": "some trainers end a caption there",
    "{": "a wildcard begins",
    "}": "a wildcard ends",
    "|": "stands between the choices of a wildcard",
    "empty": "the image is trained without a text",
    "over 75 tokens": "cut off unless max_token_length is 150 or more",
    "over 150 tokens": "cut off unless max_token_length is 225",
    "over 225 tokens": "cut off by every setting of sd-scripts",
}


def describe(tally: Tally, rows: Mapping[str, int], faults: Mapping[str, int]) -> dict[str, Any]:
    """Return the report as JSON's types; `rows` and `faults` are counts by input and by kind.

    Raises IncompleteError where the ids that have a text from somewhere do not add up to all ids.
    """
    if sum(tally.sources.values()) != tally.ids:
        raise IncompleteError(f"{tally.ids} ids were merged, but {sum(tally.sources.values())} have a source of text")
    lacking = {name: dict(sorted(tally.reasons.get(name, {}).items())) for name in MISSING}
    return {
        "ids": tally.ids,
        "missing": {name: sum(reasons.values()) for name, reasons in lacking.items()},
        "reasons": lacking,
        "not_given": [name for name, reasons in lacking.items() if _NOT_GIVEN in reasons],  # nothing to look in
        "sources": dict(sorted(tally.sources.items(), key=lambda item: (-item[1], item[0]))),
        "findings": {name: tally.findings.get(name, 0) for name in FINDINGS},
        "examples": {name: tally.examples[name] for name in FINDINGS if name in tally.examples},
        "lengths": {"tokens": BIN, "captions": tally.lengths.tolist()},  # captions of so many tokens, in steps
        "entries": dict(rows),
        "faults": dict(sorted(faults.items())),
        "repeated": dict(sorted(tally.repeated.items())),
        "respelled": dict(sorted(tally.respelled.items())),
        "unused": dict(sorted(tally.unused.items())),
        "log": write_log(tally),
    }


def write_log(tally: Tally) -> str:
    """Return the line in which the published cards say what was missing."""
    missing = ", ".join(f"missing {name}: {sum(tally.reasons.get(name, {}).values())}" for name in MISSING)
    return f"ids: {tally.ids}, {missing}"


def dump_report(report: Mapping[str, Any]) -> bytes:
    """Return the bytes of report.json."""
    return (json.dumps(report, indent=2) + "\n").encode()


def write_markdown(report: Mapping[str, Any], title: str) -> str:
    """Return report.md."""
    ids = report["ids"]
    parts = [
        f"# Trainer metadata of {title}",
        f"```\n{report['log']}\n```",
        "## Where the texts come from",
        _table(
            ("source", "ids", "share"), [(name, count, _share(count, ids)) for name, count in report["sources"].items()]
        ),
        SOURCES,
        "![sources and lengths](report.png)",
        "## What is missing",
        _table(
            ("what", "why", "ids"),
            [(name, why, count) for name, reasons in report["reasons"].items() for why, count in reasons.items()],
        ),
        "## What a trainer may lose of the captions",
        _table(
            ("finding", "captions", "share", "what happens", "such as"),
            [
                (
                    _code(name),
                    count,
                    _share(count, ids),
                    _EXPLAINED[name],
                    ", ".join(report["examples"].get(name, [])[:3]),
                )
                for name, count in report["findings"].items()
            ],
        ),
        RULE,
        "## What was read",
        _table(("input", "entries"), list(report["entries"].items())),
        "## What was counted beside",
        _table(
            ("what", "entries"),
            [
                *((f"{name}: {_tell(name)}", count) for name, count in report["faults"].items()),
                *(
                    (f"{name}: replaced by a later one of the same id", count)
                    for name, count in report["repeated"].items()
                ),
                *(
                    (f"{name}: an id that is there under another key, too", count)
                    for name, count in report["respelled"].items()
                ),
                *((f"{name}: not in the list of ids", count) for name, count in report["unused"].items()),
            ],
        ),
    ]
    return "\n\n".join(parts) + "\n"


def _tell(fault: str) -> str:
    return "used, with U+FFFD for what is no text" if fault in set(Mended) else "no entry of an id"


def _table(heads: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    if not rows:
        return "None."
    lines = [heads, tuple("---" for _ in heads), *rows]
    return "\n".join(f"| {' | '.join(_show(cell) for cell in line)} |" for line in lines)


def _show(cell: object) -> str:
    return f"{cell:,}" if isinstance(cell, int) else str(cell)


def _code(name: str) -> str:
    return f"`\\{name}`" if name == "|" else f"`{name}`" if len(name) == 1 else name


def _share(count: int, of: int) -> str:
    return f"{count / of:.2%}" if of else ""
