import pickle

import pytest

from dataset_assets import errors
from dataset_assets.errors import DatasetError, DropReason, SampleError, SettingsError


def test_one_tree() -> None:
    classes = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, Exception)]

    assert len(classes) > 5
    assert all(issubclass(one, DatasetError) for one in classes)
    assert all(one.__name__ in (errors.__doc__ or "") for one in classes)


@pytest.mark.parametrize("reason", DropReason)
def test_a_sample_error_crosses_process_borders(reason: DropReason) -> None:
    error = pickle.loads(pickle.dumps(SampleError(reason, "it is cut off")))

    assert (type(error), error.reason, error.detail) == (SampleError, reason, "it is cut off")
    assert str(error) == f"{reason.value}: it is cut off"


def test_what_may_pass() -> None:
    assert {reason for reason in DropReason if reason.passing} == {DropReason.UNREADABLE, DropReason.SOURCE_CHANGED}


def test_several_mistakes_are_a_line_each_whatever_is_in_a_name() -> None:
    error = pickle.loads(pickle.dumps(SettingsError("a\nb: wrong", "c: wrong, too")))

    assert error.lines == ("a\nb: wrong", "c: wrong, too")
    assert str(error) == "a\nb: wrong\nc: wrong, too"
    assert SampleError(DropReason.UNREADABLE, "x").lines == ("skipped_unreadable: x",)
