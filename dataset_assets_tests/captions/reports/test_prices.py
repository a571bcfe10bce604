import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from dataset_assets.captions.reports import prices
from dataset_assets.captions.reports.prices import Price, fetch_prices

Serve = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def serving(serve: Serve) -> Iterator[str]:
    """Yield the URL of an API whose answers `serve` writes."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            serve(self)

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1"
        finally:
            server.shutdown()
            thread.join()


def answer(body: bytes, code: int = 200, headers: Mapping[str, str] | None = None) -> Serve:
    def serve(request: BaseHTTPRequestHandler) -> None:
        request.send_response(code)
        for name, value in (headers or {}).items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(body)

    return serve


def host(url: str) -> str:
    return url.removeprefix("http://").removesuffix("/v1")


def listed(*models: Any) -> bytes:
    return json.dumps({"data": models}).encode()


def model(name: str, **pricing: Any) -> dict[str, Any]:
    return {"id": name, "pricing": {"prompt": "0.000001", "completion": "0.000002", **pricing}}


def test_prices_are_read_without_any_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-or-secret")
    asked: list[tuple[str, str]] = []

    def serve(request: BaseHTTPRequestHandler) -> None:
        asked.append((request.path, str(request.headers)))
        answer(listed(model("a/one"), model("a/two", image="0.003613", request="0.01", web_search=None)))(request)

    with serving(serve) as url:
        found = fetch_prices(url)

    assert found.host == host(url)
    assert found.fault == ""
    assert found.prices == {
        "a/one": Price(prompt=0.000001, completion=0.000002),
        "a/two": Price(prompt=0.000001, completion=0.000002, image=0.003613, request=0.01),
    }
    ((path, headers),) = asked
    assert path == "/v1/models"
    assert "secret" not in headers
    assert "uthorization" not in headers


@pytest.mark.parametrize(
    ("price", "expected"),
    [
        (Price(prompt=0.001, completion=0.01), 100 * 0.001 + 300 * 0.001 + 50 * 0.01),
        (Price(prompt=0.001, completion=0.01, image=0.002), 100 * 0.001 + 300 * 0.002 + 50 * 0.01),
        (Price(prompt=0.001, completion=0.01, image=0.5), 100 * 0.001 + 0.5 + 50 * 0.01),
        (Price(prompt=0.001, completion=0.01, request=0.25), 0.25 + 100 * 0.001 + 300 * 0.001 + 50 * 0.01),
        (Price(prompt=0, completion=0), 0),
        (Price(prompt=0, completion=0, image=0.5), 0.5),
    ],
    ids=["as any token", "a token of an image", "an image as a whole", "a request", "free", "free but the image"],
)
def test_a_request_costs_what_its_parts_cost(price: Price, expected: float) -> None:
    assert price.sum_up(text_tokens=100, image_tokens=300, completion_tokens=50) == pytest.approx(expected)


@pytest.mark.parametrize(
    "odd",
    [
        model("odd", prompt="-1", completion="-1"),
        model("odd", prompt="about a dollar"),
        model("odd", completion=["0.1"]),
        model("odd", image="nan"),
        model("odd", request="inf"),
        {"id": "odd", "pricing": {"prompt": "0.1"}},
        {"id": "odd", "pricing": None},
        {"id": "odd"},
        "odd",
        None,
    ],
)
def test_a_model_without_a_clear_price_is_left_out(odd: Any) -> None:
    with serving(answer(listed(odd, model("a/one")))) as url:
        found = fetch_prices(url)

    assert list(found.prices) == ["a/one"]


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b'{"data": {}}', b'{"data": []}', b"<html>", b"\xff\xfe", b"[" * 100_000],
    ids=str,
)
def test_what_is_no_list_is_a_fault(body: bytes) -> None:
    with serving(answer(body)) as url:
        found = fetch_prices(url)

    assert (found.prices, found.fault) == ({}, f"{host(url)} gave no list of prices")


@pytest.mark.parametrize("code", [401, 404, 429, 500])
def test_an_error_is_a_fault(code: int) -> None:
    with serving(answer(b"no", code)) as url:
        assert fetch_prices(url).fault == f"{host(url)} answered {code}"


def test_a_host_that_is_not_there_is_a_fault() -> None:
    assert (
        fetch_prices("http://127.0.0.1:9/v1").fault == "127.0.0.1:9 cannot be reached: [Errno 111] Connection refused"
    )
    assert fetch_prices("http://name.invalid/v1").fault.startswith("name.invalid cannot be reached: ")


def test_a_host_that_hangs_up_is_a_fault() -> None:
    with serving(lambda request: request.connection.close()) as url:
        assert fetch_prices(url).fault.startswith(f"{host(url)} cannot be reached: ")


def test_a_host_that_says_nothing_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prices, "_SECONDS", 0.1)
    done = threading.Event()

    with serving(lambda _: (done.wait(), None)[1]) as url:
        found = fetch_prices(url)
        done.set()

    assert found.fault == f"{host(url)} cannot be reached: timed out"


def test_an_answer_that_never_ends_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prices, "_SECONDS", 0.2)
    done = threading.Event()

    def serve(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        while not done.wait(0.01):
            request.wfile.write(b" ")

    with serving(serve) as url:
        found = fetch_prices(url)
        done.set()

    assert found.fault == f"{host(url)} cannot be reached: timed out"


def test_an_answer_that_is_too_long_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prices, "_LARGEST", 1000)

    with serving(answer(listed(*(model(f"a/{number}") for number in range(100))))) as url:
        assert fetch_prices(url).fault == f"{host(url)} gave no list of prices"
