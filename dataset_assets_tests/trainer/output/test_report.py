import json
from collections import Counter

import pytest

from dataset_assets.errors import IncompleteError
from dataset_assets.trainer.merge.tally import Tally
from dataset_assets.trainer.output.report import describe, dump_report, write_log, write_markdown


def make_tally() -> Tally:
    tally = Tally(ids=4_441_660, sources=Counter(tags=1_000_000, summary=3_441_659, none=1))
    tally.reasons = {"tags": Counter(), "caption": Counter(no_entry=178_161, empty=1), "latent": Counter(no_input=4)}
    tally.respelled["ids"] = 3
    tally.findings["|"] = 5
    tally.examples["|"] = ["1", "2", "3", "4", "5"]
    tally.lengths[3] = 7
    return tally


def test_the_log_line_is_that_of_the_published_card() -> None:
    assert write_log(make_tally()) == "ids: 4441660, missing tags: 0, missing caption: 178162, missing latent: 4"


def test_the_report_has_every_count() -> None:
    report = describe(make_tally(), {"a.json": 5}, {"no_id": 2})
    assert json.loads(dump_report(report)) == report
    assert list(report["sources"]) == ["summary", "tags", "none"]
    assert report["missing"] == {"tags": 0, "caption": 178_162, "latent": 4}
    assert report["reasons"]["caption"] == {"empty": 1, "no_entry": 178_161}
    assert (report["findings"]["|"], report["findings"]["{"]) == (5, 0)
    assert (report["not_given"], report["respelled"]) == (["latent"], {"ids": 3})
    assert (report["entries"], report["faults"]) == ({"a.json": 5}, {"no_id": 2})


def test_sources_that_do_not_add_up_are_refused() -> None:
    tally = make_tally()
    tally.ids += 1
    with pytest.raises(IncompleteError, match="4441661 ids were merged, but 4441660 have a source"):
        describe(tally, {}, {})


def test_the_markdown_says_it_to_a_person() -> None:
    text = write_markdown(describe(make_tally(), {"a.json": 5}, {"no_id": 2}), "foxes")
    assert text.startswith("# Trainer metadata of foxes\n\n```\nids: 4441660, missing tags: 0")
    assert "| summary | 3,441,659 | 77.49% |" in text
    assert "| caption | no_entry | 178,161 |" in text
    assert "| `\\|` | 5 | 0.00% | stands between the choices of a wildcard | 1, 2, 3 |" in text
    assert "| no_id: no entry of an id | 2 |" in text
    assert "\n\nNone.\n" not in text
    assert "None." in write_markdown(describe(Tally(), {}, {}), "nothing")
