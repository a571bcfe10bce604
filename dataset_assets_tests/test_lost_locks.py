"""A run whose lock is lost with its connection while it asks a model, and goes to a run that waited for it."""

import socket
import subprocess
import threading
import time
from contextlib import closing
from pathlib import Path

from sqlalchemy import URL

from dataset_assets.buckets.assign import assign_buckets
from dataset_assets.captions.view import load_samples
from dataset_assets.catalog.captions import load_spending
from dataset_assets.catalog.database import Catalog
from dataset_assets.dataset import open_dataset
from dataset_assets.images.crops import make_crops
from dataset_assets.settings import load_settings
from dataset_assets.sources.scan import scan_sources
from dataset_assets_tests import children
from dataset_assets_tests.commands import add_model, write_settings
from dataset_assets_tests.datasets import add_photos, partition_keys
from dataset_assets_tests.fakes.chat_server import ChatServer, Reply, Request, ok
from dataset_assets_tests.postgres import Server

ASK = """
import sys
from dataset_assets.captions.chat.ask import ask_captions
from dataset_assets.catalog import locks
from dataset_assets.dataset import open_dataset
from dataset_assets.errors import CatalogError
from dataset_assets.settings import load_settings

locks._AGAIN_SECONDS = 0  # else it would have the lock again when the other is done, which is soon
with open_dataset(load_settings(sys.argv[1])) as dataset:
    try:
        ask_captions(dataset, dataset.settings.captions.chats[0], [sys.argv[2]])
    except CatalogError as error:
        print(error)
"""
OF_CHILD = "FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE locktype = 'advisory' AND application_name = %(name)s"
WHO_HAS_A_LOCK = f"SELECT 1 {OF_CHILD} AND granted"
CUT_OFF_WHOM_IT_WAITS_FOR = f"SELECT pg_terminate_backend(unnest(pg_blocking_pids(pid))) {OF_CHILD} AND NOT granted"


def name_of(child: subprocess.Popen[str]) -> str:
    return f"{child.pid} on {socket.gethostname()}"


def until(server: Server, statement: str, child: subprocess.Popen[str]) -> None:
    """Return when a statement about the sessions of a process finds something."""
    with server.connect() as connection:
        while not connection.execute(statement.encode(), {"name": f"dataset-assets {name_of(child)}"}).fetchall():
            assert child.poll() is None, child.communicate()
            time.sleep(0.02)


def test_whoever_lost_its_lock_to_another_keeps_what_it_paid_for_and_asks_nothing_more(
    tmp_path: Path, postgres: URL, postgres_server: Server
) -> None:
    gated = threading.Event()

    def answer(request: Request, _: int) -> Reply:
        gated.wait(60)
        return ok(f"A photograph, {request.prompt}.")

    add_photos(tmp_path)
    with ChatServer(script=answer) as server, closing(Catalog(postgres)) as catalog:
        config = write_settings(tmp_path, catalog=postgres.render_as_string(hide_password=False))
        add_model(config, server.url, concurrency=1)
        with open_dataset(load_settings(config)) as dataset:
            scan_sources(dataset)
            assign_buckets(dataset)
            mine, its = partition_keys(dataset)[:2]
            make_crops(dataset, [mine, its])
            left, right = (len(load_samples(dataset, key)) for key in (mine, its))

        first = children.start(ASK, config, mine)
        while not server.requests:
            assert first.poll() is None, first.communicate()
            time.sleep(0.02)
        with catalog.writing():  # so that the first cannot record its answer yet
            gated.set()
            second = children.start(ASK, config, its)
            until(postgres_server, CUT_OFF_WHOM_IT_WAITS_FOR, second)
            until(postgres_server, WHO_HAS_A_LOCK, second)
        said, _ = first.communicate(timeout=60)
        nothing, _ = second.communicate(timeout=60)

        assert f"caption_a.asking was lost with its connection, and process {name_of(second)} has taken it" in said
        assert nothing == ""
        assert left > 1
        assert len(server.requests) == 1 + right
        assert server.most_at_once == 1
        with catalog.reading() as connection:
            assert load_spending(connection)["caption_a"].requests == 1 + right
