import pytest

from dataset_assets.counts import count_noun


@pytest.mark.parametrize(("count", "said"), [(0, "0 images"), (1, "1 image"), (2000, "2,000 images")])
def test_counts_are_said_with_their_noun(count: int, said: str) -> None:
    assert count_noun(count, "image") == said
