"""An S3 server on loopback, and a place in it. The server is moto's: real requests, and nothing kept on a disk."""

import json
import logging
import os
import re
import uuid
from collections.abc import Iterator, Mapping
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import pytest

from dataset_assets.dataset import open_dataset
from dataset_assets.settings import Settings
from dataset_assets.storage.location import Location, find_files
from dataset_assets.storage.objects import ObjectPath
from dataset_assets_tests.datasets import build_library, settings_in
from dataset_assets_tests.fakes.object_proxy import ObjectProxy

_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_MAX_ATTEMPTS": "2",
}


@pytest.fixture(scope="session")
def object_server() -> Iterator[ObjectProxy]:
    """A server of objects, with what stands before it. One for all tests: a client takes long to be made."""
    from moto.server import ThreadedMotoServer  # half a second, which other tests need not spend

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it would print a line for each request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    with ObjectProxy(server.get_host_and_port()) as between:
        yield between
    server.stop()


@pytest.fixture
def object_proxy(object_server: ObjectProxy, monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectProxy]:
    """What stands between this test and the server: it counts requests, and can be told to fail."""
    for name, value in {**_ENVIRONMENT, "AWS_ENDPOINT_URL": object_server.url}.items():
        monkeypatch.setenv(name, value)
    object_server.forget()
    _stop_fork_server()
    yield object_server
    _stop_fork_server()


def _stop_fork_server() -> None:
    """Let worker processes have the environment of now: they have that in which their server was started."""
    forkserver._forkserver._stop()  # type: ignore[attr-defined]  # what multiprocessing's own tests call


@pytest.fixture
def object_root(object_proxy: ObjectProxy) -> ObjectPath:
    """A folder of objects for the test alone, with nothing in it."""
    path = ObjectPath(f"s3://test-{uuid.uuid4().hex}/some/data")
    path.store.mkdir(path.url.split("/")[2])
    object_proxy.requests.clear()
    return path


def remote_settings(folder: Path, root: ObjectPath, **sections: Any) -> Settings:
    """Return the settings of a small dataset: images in `folder`/raw, artifacts below `root`."""
    there = {"root": str(root), "catalog": f"sqlite:///{folder / 'catalog.sqlite'}"}
    return settings_in(folder, **{**sections, "dataset": there | sections.get("dataset", {})})


def read_all(folder: Location) -> dict[str, bytes]:
    """Return the bytes of every file in a folder and below, by its path there."""
    return {name: file.read_bytes() for name, file in find_files(folder).items()}


def put(path: ObjectPath, data: bytes) -> None:
    """Put an object, whatever its key is like."""
    bucket, _, key = path.url.partition("://")[2].partition("/")
    path.store.call_s3("put_object", Bucket=bucket, Key=key, Body=data)


def gets(proxy: ObjectProxy) -> list[str]:
    """Return the targets of all reading of objects, listings apart."""
    return [target for method, target in proxy.requests if method == "GET" and "list-type=" not in target]


def timeless(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return what must be equal in exports of the same images, whenever they were made."""
    moments = [re.escape(json.loads(files["manifest.json"])["created_at"]).encode()]
    moments += [rb"\b[0-9]{10}\b"]  # of caption sources, unix seconds
    return {
        name: re.sub(b"|".join(moments), b"", data) if name.endswith((".md", "manifest.json")) else data
        for name, data in files.items()
    }


def make_whole(settings: Settings) -> dict[str, bytes]:
    """Build and return the export."""
    with open_dataset(settings) as dataset:
        build_library(dataset)
        return timeless(read_all(dataset.layout.export))
