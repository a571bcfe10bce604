"""Whole builds with a model that is a real server: killed, interrupted, twice at once, without a key, without money."""

import json
import os
import re
import signal
from collections import Counter
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import select

from dataset_assets.catalog.schema import captions, images
from dataset_assets.dataset import open_dataset
from dataset_assets.settings import load_settings
from dataset_assets_tests import children
from dataset_assets_tests.commands import add_model, run, start, wait_for, write_settings
from dataset_assets_tests.datasets import add_photos
from dataset_assets_tests.fakes import chat_server
from dataset_assets_tests.fakes.chat_server import ChatServer, Reply, Request, late, ok

CONCURRENCY = 4

ASKING = {"api_key_env": "TEST_KEY", "user_prompt": "{{image_id}}", "concurrency": CONCURRENCY, "max_retries": 0}

# Asks for every caption that a partition owes, as a run of Dagster does.
ASK = """
import sys
from dataset_assets.captions.chat.ask import ask_captions
from dataset_assets.dataset import open_dataset
from dataset_assets.settings import load_settings
from dataset_assets_tests.datasets import partition_keys

settings = load_settings(sys.argv[1])
with open_dataset(settings) as dataset:
    print("ready", flush=True)
    sys.stdin.readline()
    for key in partition_keys(dataset):
        ask_captions(dataset, settings.captions.chats[0], [key])
"""


def counts(server: ChatServer) -> Counter[str]:
    """Return how often the server was asked about each image."""
    return Counter(request.prompt for request in list(server.requests))


def committed(config: Path) -> set[str]:
    """Return the images that have an answer in the catalog."""
    with open_dataset(load_settings(config)) as dataset, dataset.catalog.reading() as connection:
        return set(connection.execute(select(images.c.image_id).join_from(captions, images)).scalars())


def has_seen(server: ChatServer, requests: int) -> bool:
    """Return whether so many questions have arrived."""
    return len(server.requests) >= requests


def slowly(request: Request, _: int) -> Reply:
    return late(ok(f"A photograph, {request.prompt}."), 0.05)


def test_a_killed_build_asks_nothing_again_that_was_answered(tmp_path: Path) -> None:
    add_photos(tmp_path, 60)
    config = write_settings(tmp_path)
    with ChatServer(script=slowly) as server:
        add_model(config, server.url, **ASKING)
        known: set[str] = set()
        for kill_at in (5, 20, 45):
            child = start(tmp_path, "build", TEST_KEY="sk-1", log=tmp_path / "log")
            wait_for(partial(has_seen, server, kill_at))
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            known = committed(config)
            asked = counts(server)
            # What was asked and is not in the catalog was under way.
            assert len(asked.keys() - known) <= CONCURRENCY
        before = counts(server)
        done = run(tmp_path, "build", TEST_KEY="sk-1")
        assert done.returncode == 0, done.stderr
        after = counts(server)
    assert len(after) == 60
    assert {name for name in known if after[name] != before[name]} == set()
    assert after.total() <= 60 + 3 * CONCURRENCY
    assert committed(config) == set(after)


def test_two_runs_at_once_ask_nothing_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_photos(tmp_path, 40)
    config = write_settings(tmp_path)
    assert run(tmp_path, "build").returncode == 0
    monkeypatch.setenv("TEST_KEY", "sk-1")
    with ChatServer(script=slowly) as server:
        add_model(config, server.url, **ASKING)
        runs = [children.start(ASK, config) for _ in range(2)]
        for child in runs:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
        ends = [child.communicate("\n", timeout=120) for child in runs]
        asked = counts(server)
    assert [child.returncode for child in runs] == [0, 0], ends
    assert set(asked.values()) == {1}
    assert len(asked) == 40


def test_ctrl_c_keeps_what_has_arrived(tmp_path: Path) -> None:
    add_photos(tmp_path, 40)
    config = write_settings(tmp_path)

    def script(request: Request, _: int) -> Reply:
        return late(ok("A photograph."), 0 if len(server.requests) <= 8 else 60)

    with ChatServer(script=script) as server:
        add_model(config, server.url, **ASKING)
        child = start(tmp_path, "build", TEST_KEY="sk-1")
        wait_for(lambda: len(server.requests) >= 8 + CONCURRENCY)
        os.killpg(child.pid, signal.SIGINT)
        _, complaints = child.communicate(timeout=60)
    assert child.returncode == 130, complaints
    assert "interrupted: what was finished is kept" in complaints
    assert len(committed(config)) == 8


def test_a_missing_key_is_named_at_the_start_and_what_is_left_at_the_end(tmp_path: Path) -> None:
    add_photos(tmp_path, 8)
    config = write_settings(tmp_path)
    with ChatServer() as server:
        add_model(config, server.url, **ASKING)
        strict = run(tmp_path, "build", "--strict")
        done = run(tmp_path, "build", "--json")
        again = run(tmp_path, "build", "--json", TEST_KEY="sk-1")
    missing = "caption_a is left out: the environment variable TEST_KEY, which holds its key, is not set"
    assert strict.returncode == 1
    assert strict.stderr.startswith(f"error: {missing}")
    assert (strict.stdout, server.requests[:0]) == ("", [])
    assert done.returncode == 0
    first, *_, last = done.stderr.splitlines()
    assert first.startswith(f"warning: {missing}")
    assert last == "warning: caption_a: 8 images not asked about, for want of its key"
    assert json.loads(done.stdout)["left"] == {"caption_a": 8}
    assert json.loads(again.stdout)["left"] == {}
    assert json.loads(again.stdout)["captions"]["caption_a"] == {"ok": 8}
    assert "warning" not in again.stderr


def test_without_money_the_build_says_how_to_go_on_and_writes_no_manifest(tmp_path: Path) -> None:
    add_photos(tmp_path, 20)
    config = write_settings(tmp_path)
    broke = True

    def script(request: Request, nth: int) -> Reply:
        return chat_server.status(402, "Insufficient credits") if broke and len(server.requests) > 6 else ok("A photo.")

    with ChatServer(script=script) as server:
        add_model(config, server.url, **ASKING)
        stopped = run(tmp_path, "build", TEST_KEY="sk-1")
        manifest = (tmp_path / "out/export/manifest.json").exists()
        kept = committed(config)
        asked = len(server.requests)
        broke = False
        done = run(tmp_path, "build", TEST_KEY="sk-1")
    assert stopped.returncode == 1
    assert re.fullmatch(
        r"error: caption_a: .*Insufficient credits.*top up.* 6 answers of this run are kept, \d+ images of its "
        r"partitions are left: run the same again to go on, or set ask = false for caption_a to go on without them",
        stopped.stderr.strip().splitlines()[-1],
    ), stopped.stderr
    assert not manifest
    assert len(kept) == 6
    assert done.returncode == 0, done.stderr
    assert len(server.requests) - asked == 14


PUBLISHED = ("google/gemini-2.0-flash-lite-001", "mistralai/mistral-medium-3.1")


def test_the_published_waterfall_on_a_smaller_scale(tmp_path: Path) -> None:
    """1,999,846 captions by the first model and 62 by the second, here 178 and 62."""
    names = {path.name: seed for seed, path in enumerate(add_photos(tmp_path, 240))}
    for text in (tmp_path / "raw").glob("*.txt"):
        text.unlink()
    config = write_settings(tmp_path, workers=2)

    def first(request: Request, _: int) -> Reply:
        return chat_server.refusal() if names[request.prompt] % 4 == 0 or names[request.prompt] < 3 else ok("A photo.")

    with ChatServer(script=first) as gemini, ChatServer() as mistral:
        refused = {name for name, seed in names.items() if seed % 4 == 0 or seed < 3}
        assert len(refused) == 62
        for name, model, server in zip(
            ("caption_gemini_2_flash_lite", "caption_mistral_medium_3_1"), PUBLISHED, (gemini, mistral), strict=True
        ):
            add_model(config, server.url, **ASKING, name=name, backend="openrouter", model=model)
        done = run(tmp_path, "build", "--json", TEST_KEY="sk-1")
        assert done.returncode == 0, done.stderr
        assert counts(gemini) == Counter(dict.fromkeys(names, 1))
        assert counts(mistral) == Counter(dict.fromkeys(refused, 1))

    manifest = json.loads((tmp_path / "out/export/manifest.json").read_text())
    sources = manifest["caption_sources"]
    assert [(source["backend"], source["model"]) for source in sources.values()] == [
        ("openrouter", model) for model in PUBLISHED
    ]
    assert len({source["user_prompt_sha256"] for source in sources.values()}) == 1  # as on the card
    assert (manifest["summary"]["images_exported"], manifest["summary"]["skipped_no_caption"]) == (240, 0)
    card = (tmp_path / "out/export/README.md").read_text()
    prompt = sources["1"]["user_prompt_sha256"][:12]
    for number, (source, model) in enumerate(zip(sources.values(), PUBLISHED, strict=True), start=1):
        assert f"| {number} | openrouter | {model} | {source['created_at']} | - | {prompt}… |" in card
    assert "| 0 | caption_gemini_2_flash_lite | - | - | 178 |" in card
    assert "| 1 | caption_mistral_medium_3_1 | - | - | 62 |" in card
    assert "| ✓ | caption_gemini_2_flash_lite | 178 |" in card
    assert "| ✓ | caption_mistral_medium_3_1 | 62 |" in card
