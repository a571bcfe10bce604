"""How counts are said. What is counted is not known here."""


def count_noun(count: int, noun: str) -> str:
    """Return a count and what is counted: "1 image", "2,000 images"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
