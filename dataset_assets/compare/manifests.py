"""In what two manifests differ: settings, caption sources, and what was left out. Their tars are not looked at."""

from collections.abc import Iterator, Mapping
from itertools import islice

from dataset_assets.compare.records import Difference, Sources

# What is no setting, or follows from settings and samples.
_NO_SETTINGS = frozenset(
    {"created_at", "export_id", "summary", "files", "buckets", "proto_buckets_1024", "caption_sources"}
)
_MADE_BY = ("backend", "model", "system_prompt_sha256", "user_prompt_sha256")  # not its number, and not since when
_NO_DROPS = frozenset({"images_seen", "images_exported"})
_DEPTH = 8  # levels; what lies deeper is not compared: the format has nothing there
_DEEPER = "…"
_MOST = 1_000  # differences: a manifest is a stranger's


def compare_settings(a: Mapping[str, object], b: Mapping[str, object]) -> list[Difference]:
    """Return the settings that differ, in the order of the manifests; a key in another is joined to it by a dot."""
    sides = [{key: value for key, value in side.items() if key not in _NO_SETTINGS} for side in (a, b)]
    return compare_values(*sides)


def compare_sources(a: Mapping[str, object], b: Mapping[str, object]) -> Sources:
    """Return how many caption sources the exports have in common, by what makes their captions."""
    first, second = ({_identify(source) for source in _list_sources(side)} for side in (a, b))
    return Sources(both=len(first & second), a=len(first - second), b=len(second - first))


def compare_drops(a: Mapping[str, object], b: Mapping[str, object]) -> list[Difference]:
    """Return how many images either export left out, by reason, in the order of the manifests; equal ones, too."""
    first, second = (side.get("summary") for side in (a, b))
    counts_a, counts_b = (side if isinstance(side, Mapping) else {} for side in (first, second))
    names = [name for name in dict.fromkeys([*counts_a, *counts_b]) if name not in _NO_DROPS]
    pairs = [Difference(key=name, a=counts_a.get(name), b=counts_b.get(name)) for name in names]
    return [pair for pair in pairs if pair.a or pair.b]


def compare_values(a: Mapping[str, object], b: Mapping[str, object]) -> list[Difference]:
    """Return the values that differ, at most _MOST of them, after taking objects and lists of objects apart."""
    flat_a, flat_b = dict(_flatten(a)), dict(_flatten(b))
    keys = (key for key in dict.fromkeys([*flat_a, *flat_b]) if not _is_equal(flat_a.get(key), flat_b.get(key)))
    return [Difference(key=key, a=flat_a.get(key), b=flat_b.get(key)) for key in islice(keys, _MOST)]


def _list_sources(manifest: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
    sources = manifest.get("caption_sources")
    for source in sources.values() if isinstance(sources, Mapping) else ():
        if isinstance(source, Mapping):
            yield source


def _identify(source: Mapping[str, object]) -> tuple[str, ...]:
    values = (source.get(name) for name in _MADE_BY)
    return tuple(value if isinstance(value, str) else "" for value in values)


def _is_equal(a: object, b: object) -> bool:
    return type(a) is type(b) and a == b  # 1 is neither true nor 1.0


def _flatten(value: object, name: str = "", depth: int = 0) -> Iterator[tuple[str, object]]:
    """Yield the values in a value by their keys, joined by dots."""
    inner: list[tuple[object, object]] = []
    if isinstance(value, Mapping):
        inner = list(value.items())
    elif isinstance(value, list) and any(isinstance(one, Mapping | list) for one in value):
        inner = list(enumerate(value))
    if depth == _DEPTH and inner:
        value, inner = _DEEPER, []
    if depth and not inner:
        yield name, value
    for key, one in inner:
        yield from _flatten(one, f"{name}.{key}" if name else str(key), depth + 1)
