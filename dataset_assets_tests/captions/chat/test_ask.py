import json
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from dataset_assets.buckets.assign import assign_buckets
from dataset_assets.captions.files.edits import retry_captions
from dataset_assets.captions.files.importing import import_captions
from dataset_assets.captions.sources import list_warnings
from dataset_assets.catalog.captions import CaptionStatus, load_spending
from dataset_assets.catalog.schema import captions, images
from dataset_assets.dataset import Dataset, open_dataset
from dataset_assets.errors import CaptionsStopped
from dataset_assets.settings import Settings
from dataset_assets.sources.scan import scan_sources
from dataset_assets.stages import caption_stage
from dataset_assets.status import judge_all, summarize
from dataset_assets.storage.parquet import read_table
from dataset_assets.work import Outcome
from dataset_assets_tests.datasets import (
    LANDSCAPE,
    SQUARE,
    add_photo,
    build_library,
    caption,
    on_disk,
    partition_keys,
    settings_in,
)
from dataset_assets_tests.fakes import chat_server
from dataset_assets_tests.fakes.chat_server import ChatServer, Reply, Request, ok

KEY = "sk-secret-0123456789"


def chat(server: ChatServer, name: str = "caption_a", **keys: Any) -> dict[str, Any]:
    """Return the settings of a variant that the server makes; prompts name the image."""
    return {
        "name": name,
        "backend": "openai",
        "model": f"test/{name}",
        "base_url": server.url,
        "api_key_env": "TEST_KEY",
        "user_prompt": "Describe {{image_id}}.",
        "max_retries": 0,
        "concurrency": 4,
        **keys,
    }


def settings_of(folder: Path, *variants: Mapping[str, Any], **sections: Any) -> Settings:
    more = sections.pop("captions", {})
    return settings_in(folder, captions={"variants": [dict(one) for one in variants], **more}, **sections)


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEY", KEY)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with six photographs of one bucket, a.jpg to f.jpg."""
    for seed, name in enumerate("abcdef"):
        add_photo(tmp_path, f"{name}.jpg", LANDSCAPE, seed=seed)
    return tmp_path


def asked(server: ChatServer) -> list[str]:
    """Return the images that the server was asked about, in order of name, and forget them."""
    names = sorted(request.prompt.removeprefix("Describe ").rstrip(".") for request in server.requests)
    server.requests.clear()
    return names


def build(settings: Settings) -> dict[str, tuple[str, int, str]]:
    """Build the dataset; return variant, selector and text of every sample by image_id."""
    with open_dataset(settings) as dataset:
        build_library(dataset)
        return selected(dataset)


def selected(dataset: Dataset) -> dict[str, tuple[str, int, str]]:
    found = {}
    for key in partition_keys(dataset):
        names = dict(zip(*read_table(dataset.layout.plan(key), ["slot", "image_id"]).to_pydict().values(), strict=True))
        for row in read_table(dataset.layout.selection(key)).to_pylist():
            found[names[row["slot"]]] = (row["variant"], row["selector_index"], row["text"] or row["drop"])
    return found


def said(settings: Settings) -> dict[tuple[str, int], dict[str, Any]]:
    """Return the catalog's captions by image_id and caption source."""
    with open_dataset(settings) as dataset, dataset.catalog.reading() as connection:
        rows = connection.execute(select(images.c.image_id, captions).join_from(captions, images)).mappings()
        return {(row["image_id"], row["caption_source"]): dict(row) for row in rows}


def by_image(replies: Mapping[str, Reply | Callable[[int], Reply]]) -> Callable[[Request, int], Reply]:
    """Return a script that answers by the image's name: a reply, or a function of how often it was asked for."""

    def script(request: Request, nth: int) -> Reply:
        name = request.prompt.removeprefix("Describe ").rstrip(".").removesuffix(".jpg")
        found = replies.get(name, ok(f"A photograph, {name}."))
        return found if isinstance(found, Reply) else found(nth)

    return script


def test_every_image_is_asked_about_once_with_its_crop_as_it_is_stored(photos: Path) -> None:
    with ChatServer(script=by_image({})) as server:
        settings = settings_of(photos, chat(server))
        found = build(settings)

        crops: dict[str, bytes] = {}
        for path in (on_disk(settings.root / "crops")).rglob("*.parquet"):
            crops |= dict(zip(*read_table(path, ["image_id", "jpeg"]).to_pydict().values(), strict=True))
        sent = {request.prompt: request.image for request in server.requests}
        assert sent == {f"Describe {name}.": jpeg for name, jpeg in crops.items()}
        assert asked(server) == [f"{name}.jpg" for name in "abcdef"]
        assert found == {f"{name}.jpg": ("caption_a", 0, f"A photograph, {name}.") for name in "abcdef"}

        build(settings)
        assert asked(server) == []


def test_an_answer_is_kept_with_all_that_is_known_of_it(photos: Path) -> None:
    with ChatServer(script=by_image({})) as server:
        settings = settings_of(photos, chat(server))
        build(settings)

    row = said(settings)["a.jpg", 1]
    assert (row["status"], row["text"], row["attempts"]) == ("ok", "A photograph, a.", 1)
    assert (row["finish_reason"], row["provider"]) == ("stop", "Test Provider")
    assert (row["prompt_tokens"], row["completion_tokens"], row["cost"]) == (300, 50, chat_server.COST)
    assert 0 < row["latency"] < 60
    source = sha256((photos / "raw/a.jpg").read_bytes()).hexdigest()
    assert row["input_version"] == f"{source}:{sha256(b'Describe a.jpg.').hexdigest()[:16]}"
    with open_dataset(settings) as dataset, dataset.catalog.reading() as connection:
        spent = load_spending(connection)["caption_a"]
    assert (spent.requests, spent.prompt_tokens, spent.completion_tokens) == (6, 1800, 300)
    assert spent.cost == pytest.approx(6 * chat_server.COST)


def test_only_what_is_new_or_shows_something_else_is_asked_about(photos: Path) -> None:
    with ChatServer(script=by_image({})) as server:
        variant = chat(server)
        build(settings_of(photos, variant))
        asked(server)

        add_photo(photos, "g.jpg", LANDSCAPE, seed=70)
        add_photo(photos, "b.jpg", LANDSCAPE, seed=71)
        build(settings_of(photos, variant))
        assert asked(server) == ["b.jpg", "g.jpg"]

        build(settings_of(photos, variant, images={"quality": 80}))
        build(settings_of(photos, variant, images={"quality": 80, "crop": {"strategy": "center"}}))
        build(settings_of(photos, variant, shards={"shard_size": 3}))
        build(settings_of(photos, variant | {"provider": {"order": ["x"]}, "concurrency": 2, "max_retries": 1}))
        assert asked(server) == []

        with open_dataset(settings_of(photos, variant)) as dataset:
            build_library(dataset, force=True)
        assert asked(server) == []


def test_another_prompt_is_another_source_and_the_one_before_can_come_back(photos: Path) -> None:
    with ChatServer(script=lambda request, _: ok(f"Said to: {request.prompt}")) as server:
        first, second = chat(server), chat(server, user_prompt="What is {{image_id}}?")
        build(settings_of(photos, first))
        assert len(asked(server)) == 6

        found = build(settings_of(photos, second))
        assert found["a.jpg"] == ("caption_a", 0, "Said to: What is a.jpg?")
        assert len(asked(server)) == 6

        found = build(settings_of(photos, first))
        assert found["a.jpg"] == ("caption_a", 0, "Said to: Describe a.jpg.")
        assert asked(server) == []


def test_what_the_model_says_decides_the_status_and_how_often_it_is_asked(photos: Path) -> None:
    replies = {
        "a": chat_server.cut_off(),
        "b": chat_server.filtered(),
        "c": chat_server.refusal(),
        "d": chat_server.empty(),
        "e": ok("Image not available"),
        "f": chat_server.status(500),
    }
    with ChatServer(script=by_image(replies)) as server:
        settings = settings_of(photos, chat(server))
        found = build(settings)

        rows = said(settings)
        statuses = {name: rows[f"{name}.jpg", 1]["status"] for name in "abcdef"}
        assert statuses == dict(
            zip("abcdef", ("truncated", "filtered", "refused", "empty", "placeholder", "error"), strict=True)
        )
        times = {"a.jpg": 1, "b.jpg": 1, "c.jpg": 1, "d.jpg": 2, "e.jpg": 2, "f.jpg": 3}
        assert Counter(asked(server)) == times
        assert {name: rows[name, 1]["attempts"] for name in times} == times
        build(settings)
        assert asked(server) == []

    assert found.pop("e.jpg") == ("", -1, "skipped_placeholder")
    assert set(found.values()) == {("", -1, "")}
    with open_dataset(settings) as dataset:
        summary = summarize(dataset)
    assert summary.counts["skipped_placeholder"] == 1
    assert summary.counts["images_exported"] == 5


def test_what_is_asked_again_and_answered_is_kept_with_the_cost_of_both(photos: Path) -> None:
    replies = {"a": lambda nth: chat_server.empty() if nth == 1 else ok("A photograph at last.")}
    with ChatServer(script=by_image(replies)) as server:
        settings = settings_of(photos, chat(server))
        assert build(settings)["a.jpg"] == ("caption_a", 0, "A photograph at last.")
        assert Counter(asked(server))["a.jpg"] == 2
    row = said(settings)["a.jpg", 1]
    assert (row["attempts"], row["cost"]) == (2, pytest.approx(2 * chat_server.COST))


def test_a_file_that_was_renamed_or_copied_is_not_paid_for_again(photos: Path) -> None:
    with ChatServer(script=lambda *_: ok("A photograph.")) as server:
        settings = settings_of(photos, chat(server, user_prompt="Describe this."))
        build(settings)
        server.requests.clear()

        (photos / "raw/a.jpg").rename(photos / "raw/renamed.jpg")
        (photos / "raw/copy.jpg").write_bytes((photos / "raw/b.jpg").read_bytes())
        found = build(settings)
        assert server.requests == []
        assert found["renamed.jpg"] == found["copy.jpg"] == ("caption_a", 0, "A photograph.")
    with open_dataset(settings) as dataset, dataset.catalog.reading() as connection:
        assert load_spending(connection)["caption_a"].requests == 6
    assert [said(settings)[name, 1]["cost"] for name in ("renamed.jpg", "copy.jpg")] == [0, 0]


def test_more_tokens_are_no_reason_to_ask_about_everything(photos: Path) -> None:
    with ChatServer(script=by_image({"a": chat_server.cut_off()})) as server:
        build(settings_of(photos, chat(server)))
        asked(server)
        settings = settings_of(photos, chat(server, max_tokens=900))
        build(settings)
        assert asked(server) == []
        with open_dataset(settings) as dataset:
            assert retry_captions(dataset, "caption_a", {CaptionStatus.TRUNCATED}) == 1
        build(settings)
        assert [request.body["max_tokens"] for request in server.requests] == [900]


def test_a_server_that_is_down_costs_no_attempt(photos: Path) -> None:
    with ChatServer(script=lambda *_: chat_server.status(503)) as server:
        settings = settings_of(photos, chat(server, stop_after_errors=3, concurrency=1))
        for _ in range(4):
            with pytest.raises(CaptionsStopped, match=r"3 images in a row got no answer.* 0 answers of this run"):
                build(settings)
        assert {row["attempts"] for row in said(settings).values()} == {0}
    with ChatServer(script=by_image({})) as server:
        build(settings_of(photos, chat(server)))
        assert len(asked(server)) == 6


def test_raised_attempts_ask_again_what_was_left(photos: Path) -> None:
    with ChatServer(script=by_image({"a": chat_server.refusal()})) as server:
        build(settings_of(photos, chat(server)))
        asked(server)
        build(settings_of(photos, chat(server, attempts={"refused": 3})))
        assert asked(server) == ["a.jpg", "a.jpg"]


def test_an_error_does_not_replace_a_text(photos: Path) -> None:
    replies = {"a": lambda nth: chat_server.cut_off("A photograph of") if nth == 1 else chat_server.status(500)}
    with ChatServer(script=by_image(replies)) as server:
        settings = settings_of(
            photos, chat(server, attempts={"truncated": 2}), captions={"review": {"truncated": "keep"}}
        )
        assert build(settings)["a.jpg"] == ("caption_a", 0, "A photograph of")
        assert Counter(asked(server))["a.jpg"] == 2
    assert said(settings)["a.jpg", 1]["status"] == "truncated"


def test_a_fallback_is_asked_only_about_what_nobody_before_it_can_caption(photos: Path) -> None:
    replies = {"b": chat_server.refusal(), "d": chat_server.filtered()}
    with ChatServer(script=by_image(replies)) as first, ChatServer(script=by_image({})) as second:
        variants = (chat(first), chat(second, "caption_b"))
        found = build(settings_of(photos, *variants))
        assert len(asked(first)) == 6
        assert asked(second) == ["b.jpg", "d.jpg"]
        assert found["a.jpg"] == ("caption_a", 0, "A photograph, a.")
        assert found["b.jpg"] == ("caption_b", 1, "A photograph, b.")

        build(settings_of(photos, variants[0], variants[1] | {"only_needed": False}))
        assert asked(first) == []
        assert asked(second) == ["a.jpg", "c.jpg", "e.jpg", "f.jpg"]


def test_captions_beside_the_images_come_first_where_the_priority_says_so(photos: Path) -> None:
    (photos / "raw/c.txt").write_text("by hand")
    with ChatServer(script=by_image({})) as server:
        sidecar = {"name": "caption_sidecar"}
        found = build(settings_of(photos, sidecar, chat(server)))
        assert asked(server) == ["a.jpg", "b.jpg", "d.jpg", "e.jpg", "f.jpg"]
        assert found["c.jpg"] == ("caption_sidecar", 0, "by hand")

        (photos / "raw/c.txt").unlink()
        assert build(settings_of(photos, sidecar, chat(server)))["c.jpg"] == ("caption_a", 1, "A photograph, c.")
        assert asked(server) == ["c.jpg"]


def test_a_model_that_no_selector_takes_is_asked_about_everything(photos: Path) -> None:
    with ChatServer(script=by_image({})) as first, ChatServer(script=by_image({})) as second:
        variants = (chat(first), chat(second, "caption_b"))
        build(settings_of(photos, *variants, captions={"priority": [{"variant": "caption_a"}]}))
        assert len(asked(second)) == 6


def test_a_model_without_its_key_is_left_out_and_its_fallback_waits(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ChatServer(script=by_image({})) as first, ChatServer(script=by_image({})) as second:
        settings = settings_of(photos, chat(first), chat(second, "caption_b", api_key_env="OTHER_KEY"))
        monkeypatch.setenv("OTHER_KEY", "sk-other")
        monkeypatch.delenv("TEST_KEY")
        assert set(build(settings).values()) == {("", -1, "")}
        assert (asked(first), asked(second)) == ([], [])
        with open_dataset(settings) as dataset:
            assert summarize(dataset).left == {"caption_a": 6}
            assert all(verdict.fresh for verdict in judge_all(dataset).values())

            monkeypatch.setenv("TEST_KEY", KEY)
            stale = {key: verdict for key, verdict in judge_all(dataset).items() if not verdict.fresh}
            first_stale = next(iter(stale))
            assert first_stale[0] == "captions/caption_a"
            assert stale[first_stale].reason.endswith("images are still to be captioned")
        assert {name: variant for name, (variant, _, _) in build(settings).items()} == dict.fromkeys(
            [f"{name}.jpg" for name in "abcdef"], "caption_a"
        )
        with open_dataset(settings) as dataset:
            assert summarize(dataset).left == {}


def test_a_model_that_is_not_to_be_asked_leaves_its_images_to_the_next(photos: Path) -> None:
    with ChatServer(script=by_image({})) as first, ChatServer(script=by_image({})) as second:
        settings = settings_of(photos, chat(first, ask=False), chat(second, "caption_b"))
        assert {variant for variant, _, _ in build(settings).values()} == {"caption_b"}
        assert (asked(first), len(asked(second))) == ([], 6)


def ask_one(settings: Settings, name: str = "caption_a") -> dict[str, Outcome]:
    """Run a variant's stage for every partition."""
    with open_dataset(settings) as dataset:
        variant = next(one for one in settings.captions.variants if one.name == name)
        return {key: caption(dataset, variant, key) for key in partition_keys(dataset)}


@pytest.mark.parametrize("code", [401, 402])
def test_a_stop_keeps_what_is_done_and_the_next_run_goes_on(photos: Path, code: int) -> None:
    broke = True

    def script(request: Request, _: int) -> Reply:
        stops = broke and "c.jpg" in request.prompt
        return chat_server.status(code, "no more") if stops else ok("A photograph.")

    with ChatServer(script=script) as server:
        settings = settings_of(photos, chat(server, concurrency=1))
        with pytest.raises(CaptionsStopped, match=r"caption_a: .*no more.* are kept, \d+ images of its partitions are"):
            build(settings)
        kept = {name for (name, _), row in said(settings).items() if row["status"] == "ok"}
        assert "c.jpg" not in kept
        assert {"c.jpg", *kept} == set(asked(server))

        broke = False
        build(settings)
        assert sorted([*asked(server), *kept]) == [f"{name}.jpg" for name in "abcdef"]


def test_a_stop_is_no_reason_to_pay_the_fallback(photos: Path) -> None:
    with ChatServer(script=lambda *_: chat_server.status(402)) as first, ChatServer(script=by_image({})) as second:
        settings = settings_of(photos, chat(first, concurrency=1), chat(second, "caption_b"))
        with pytest.raises(CaptionsStopped):
            build(settings)
        ask_one(settings, "caption_b")
        assert asked(second) == []


def test_a_budget_holds_over_runs_and_partitions(photos: Path) -> None:
    with ChatServer(script=by_image({})) as server:
        variant = chat(server, concurrency=2)
        budget = 3.5 * chat_server.COST
        with pytest.raises(CaptionsStopped, match="budget_usd"):
            build(settings_of(photos, variant | {"budget_usd": budget}))
        assert len(asked(server)) == 3
        with pytest.raises(CaptionsStopped, match="budget_usd"):
            build(settings_of(photos, variant | {"budget_usd": budget}))
        assert asked(server) == []
        build(settings_of(photos, variant | {"budget_usd": 10 * budget}))
        assert len(asked(server)) == 3


def test_metadata_goes_into_the_prompt_and_a_change_of_it_asks_again(photos: Path) -> None:
    beside = photos / "raw/a.json"
    beside.write_text(json.dumps({"title": "A *harbour*", "tags": ["boat", "sea"], "year": 1999, "none": None}))
    (photos / "raw/b.json").write_text("no JSON")
    prompt = (
        "{{ image_id }}: {{meta.title}}|{{meta.tags}}|{{meta.year}}|{{meta.none}}|{{meta.gone}} {{width}}x{{height}}"
    )
    with ChatServer(script=lambda *_: ok("A photograph.")) as server:
        settings = settings_of(photos, chat(server, user_prompt=prompt))
        build(settings)
        prompts = {request.prompt for request in server.requests}
        assert "a.jpg: A *harbour*|boat, sea|1999|| 72x48" in prompts
        assert "b.jpg: |||| 72x48" in prompts
        server.requests.clear()

        beside.write_text(json.dumps({"title": "A port", "tags": ["boat", "sea"], "year": 1999}))
        build(settings)
        assert [request.prompt for request in server.requests] == ["a.jpg: A port|boat, sea|1999|| 72x48"]


def test_a_blank_crop_is_dropped_and_nobody_is_paid_for_it(photos: Path) -> None:
    from PIL import Image

    Image.new("RGB", LANDSCAPE, "white").save(photos / "raw/blank.jpg")
    with ChatServer(script=by_image({})) as server:
        settings = settings_of(photos, chat(server))
        found = build(settings)
        assert "blank.jpg" not in asked(server)
        assert found["blank.jpg"] == ("", -1, "skipped_blank_image")
        with open_dataset(settings) as dataset:
            assert summarize(dataset).counts["skipped_blank_image"] == 1

        kept = settings_of(photos, chat(server), captions={"review": {"blank_image": "keep"}})
        assert build(kept)["blank.jpg"] == ("caption_a", 0, "A photograph, blank.")


def test_a_caption_of_an_older_content_is_not_selected(photos: Path) -> None:
    with ChatServer(script=by_image({})) as server:
        assert build(settings_of(photos, chat(server)))["a.jpg"] == ("caption_a", 0, "A photograph, a.")
        before = (photos / "raw/a.jpg").read_bytes()
        add_photo(photos, "a.jpg", LANDSCAPE, seed=99)
    with ChatServer(script=lambda *_: chat_server.refusal()) as server:
        settings = settings_of(photos, chat(server, user_prompt="Another prompt."))
        found = build(settings)
        assert found["b.jpg"] == (
            "caption_a",
            0,
            "A photograph, b.",
        )  # the new source has a refusal, the old one a text
        assert found["a.jpg"] == ("", -1, "")  # of another picture
        statuses = {key: row["status"] for key, row in said(settings).items() if key[0] == "a.jpg"}
        assert statuses == {("a.jpg", 1): "ok", ("a.jpg", 2): "refused"}

        (photos / "raw/a.jpg").write_bytes(before)
        assert build(settings)["a.jpg"] == ("caption_a", 0, "A photograph, a.")


def test_the_key_is_nowhere(photos: Path) -> None:
    replies = {"a": chat_server.status(500, f"what is {KEY}?"), "b": ok(f"A photograph of {KEY}.")}
    with ChatServer(script=by_image(replies)) as server:
        settings = settings_of(photos, chat(server))
        build(settings)
        assert all(request.headers["authorization"] == f"Bearer {KEY}" for request in server.requests)
    for path in photos.rglob("*"):
        if path.is_file():
            assert KEY.encode() not in path.read_bytes(), path


def test_a_partition_of_two_buckets_is_asked_about_as_one_stream(photos: Path) -> None:
    add_photo(photos, "square.jpg", SQUARE)
    with ChatServer(script=by_image({})) as server:
        settings = settings_of(photos, chat(server))
        build(settings)
        assert len(asked(server)) == 7
    outcomes = ask_one(settings)
    assert [outcome.reused for outcome in outcomes.values()] == [True] * len(outcomes)
    with open_dataset(settings) as dataset:
        reports = [outcome.report for outcome in outcomes.values()]
        assert sum(report["asked"] for report in reports) == 7
        assert sum(report["cost"] for report in reports) == pytest.approx(7 * chat_server.COST)
        assert {stage for stage, _ in judge_all(dataset)} >= {caption_stage("caption_a")}


def test_an_outage_is_no_reason_to_pay_the_fallback(photos: Path) -> None:
    up = False

    def script(request: Request, nth: int) -> Reply:
        return by_image({})(request, nth) if up else chat_server.status(503)

    with ChatServer(script=script) as first, ChatServer(script=by_image({})) as second:
        settings = settings_of(photos, chat(first), chat(second, "caption_b"))
        for _ in range(3):
            with pytest.raises(CaptionsStopped, match="answered nothing; the last: HTTP 503"):
                build(settings)
        assert asked(second) == []
        up = True
        assert {variant for variant, _, _ in build(settings).values()} == {"caption_a"}
        assert asked(second) == []


def test_images_that_the_server_refuses_use_up_their_attempts(photos: Path) -> None:
    bad = {name: chat_server.status(400, "image not supported") for name in "abc"}
    with ChatServer(script=by_image(bad)) as first, ChatServer(script=by_image({})) as second:
        settings = settings_of(photos, chat(first, stop_after_errors=2, concurrency=1), chat(second, "caption_b"))
        builds = 0
        found: dict[str, tuple[str, int, str]] = {}
        while not found:
            with suppress(CaptionsStopped):
                found = build(settings)
            builds += 1
            assert builds < 8
        assert Counter(variant for variant, _, _ in found.values()) == {"caption_a": 3, "caption_b": 3}
        assert max(Counter(asked(first)).values()) == 3


def test_a_fallback_hears_when_the_model_before_it_is_no_longer_asked(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ChatServer(script=by_image({})) as first, ChatServer(script=by_image({})) as second:
        monkeypatch.setenv("OTHER_KEY", "sk-other")
        variants = chat(first), chat(second, "caption_b", api_key_env="OTHER_KEY")
        monkeypatch.delenv("TEST_KEY")
        build(settings_of(photos, *variants))
        assert asked(second) == []
        found = build(settings_of(photos, variants[0] | {"ask": False}, variants[1]))
        assert len(asked(second)) == 6
        assert {variant for variant, _, _ in found.values()} == {"caption_b"}


def test_what_an_older_model_of_the_variant_said_spares_the_new_one_where_a_selector_prefers_it(photos: Path) -> None:
    with ChatServer(script=by_image({})) as server:
        build(settings_of(photos, chat(server, model="old")))
        asked(server)
        priority = [{"variant": "caption_a", "model": "old"}, {"variant": "caption_a"}]
        found = build(settings_of(photos, chat(server, model="new"), captions={"priority": priority}))
        assert asked(server) == []
        assert {index for _, index, _ in found.values()} == {0}


def test_imported_captions_spare_the_model_that_they_come_before(photos: Path) -> None:
    with ChatServer(script=by_image({})) as server:
        settings = settings_of(photos, {"name": "caption_hand", "backend": "imported"}, chat(server))
        lines = [json.dumps({"image_id": f"{name}.jpg", "text": f"by hand, {name}"}) for name in "abc"]
        (photos / "hand.jsonl").write_text("\n".join(lines))
        with open_dataset(settings) as dataset:
            scan_sources(dataset)
            assign_buckets(dataset)
            assert import_captions(dataset, photos / "hand.jsonl", variant="caption_hand").imported == 3
        found = build(settings)
        assert asked(server) == ["d.jpg", "e.jpg", "f.jpg"]
        assert found["a.jpg"] == ("caption_hand", 0, "by hand, a")

        (photos / "hand.jsonl").write_text(json.dumps({"image_id": "d.jpg", "text": "by hand, d"}))
        with open_dataset(settings) as dataset:
            import_captions(dataset, photos / "hand.jsonl", variant="caption_hand")
        assert build(settings)["d.jpg"] == ("caption_hand", 0, "by hand, d")


def test_the_price_of_another_model_is_no_measure_of_the_budget(photos: Path) -> None:
    with ChatServer(script=lambda *_: ok("A photo.", cost=0.0001)) as server:
        build(settings_of(photos, chat(server)))
    with ChatServer(script=lambda *_: ok("A photo.", cost=1)) as server:
        dear = settings_of(photos, chat(server, model="dear", budget_usd=2.5, concurrency=6))
        with pytest.raises(CaptionsStopped, match="budget_usd"):
            build(dear)
        assert len(server.requests) == 2


def test_a_free_model_with_a_budget_is_asked_side_by_side(photos: Path) -> None:
    with ChatServer(script=lambda *_: chat_server.late(ok("A photo.", cost=0), 0.2)) as server:
        build(settings_of(photos, chat(server, budget_usd=1)))
        assert server.most_at_once > 1


def test_a_renamed_file_keeps_its_caption_where_nobody_is_asked(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ChatServer(script=lambda *_: ok("A photograph.")) as server:
        variant = chat(server, user_prompt="Describe this.")
        build(settings_of(photos, variant))
        (photos / "raw/a.jpg").rename(photos / "raw/renamed.jpg")
        assert build(settings_of(photos, variant | {"ask": False}))["renamed.jpg"][2] == "A photograph."
        (photos / "raw/b.jpg").rename(photos / "raw/again.jpg")
        monkeypatch.delenv("TEST_KEY")
        assert build(settings_of(photos, variant))["again.jpg"][2] == "A photograph."


def test_a_request_that_took_too_long_is_not_sent_again_at_once(photos: Path) -> None:
    with ChatServer(script=lambda *_: chat_server.late(ok("A photo."), 1)) as server:
        settings = settings_of(photos, chat(server, timeout_seconds=0.2, max_retries=4))
        with pytest.raises(CaptionsStopped, match=r"no answer within timeout_seconds = 0\.2"):
            build(settings)
        assert len(server.requests) == 6


def test_a_model_that_no_selector_takes_is_named(photos: Path) -> None:
    typo = [{"variant": "caption_a", "model": "typo"}]
    with ChatServer() as server:
        settings = settings_of(photos, chat(server), captions={"priority": typo})
    (line,) = list_warnings(settings.captions)
    assert line.startswith("caption_a: no selector of captions.priority takes what test/caption_a by openai says")
