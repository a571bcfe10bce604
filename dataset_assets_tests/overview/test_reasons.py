import pytest

from dataset_assets.errors import DropReason
from dataset_assets.overview.reasons import explain_reason


def test_every_reason_has_a_sentence_of_its_own() -> None:
    said = [explain_reason(reason) for reason in DropReason]

    assert len(set(said)) == len(DropReason)
    assert all(sentence[0].isupper() and sentence.endswith(".") and len(sentence) < 200 for sentence in said)


def test_a_reason_may_come_as_text() -> None:
    assert explain_reason("not_jpeg") == explain_reason(DropReason.NOT_JPEG)
    with pytest.raises(ValueError, match="skipped_for_fun"):
        explain_reason("skipped_for_fun")
