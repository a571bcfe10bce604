"""A real HTTP server on loopback that speaks OpenAI's chat completions as OpenRouter does, and fails as it is told to.

    with ChatServer() as server:                      # answers ok, with a caption made from the image's hash
        variant = ChatSettings(..., base_url=server.url, api_key_env="")
        ...
        assert len(server.requests) == 20
        assert server.seen[sha256(jpeg).hexdigest()] == 1

What it says is decided by a script, a function of the request and of how often this image was asked about, counted
from 1:

    def script(request: Request, nth: int) -> Reply:
        return status(429, headers={"retry-after-ms": "1"}) if nth == 1 else ok("A dog.", cost=0.001)

Replies are made by the functions below (`ok`, `status`, `failure`, `reset`, `silence`, `drip`, …); any of them can be
given a latency with `late(reply, seconds)`. A script's own exception is a 500, and is raised again when the block ends.
`python -m dataset_assets_tests.fakes.chat_server --latency 0.5` runs it as a process of its own, for benchmarks: it
prints its URL, and serves until its standard input is closed.
"""

import argparse
import asyncio
import base64
import binascii
import json
import socket
import struct
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from types import TracebackType
from typing import Any, Literal, Self

MODEL = "test/vision-model"
COST = 0.001  # USD, of a caption that `ok` makes

_LARGEST_BODY = 64 << 20  # bytes of a request
_MOST_HEADERS = 100
_DATA_URL = "data:image/jpeg;base64,"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A POST to /v1/chat/completions."""

    at: float  # time.monotonic() when it had arrived
    headers: Mapping[str, str]  # names in lower case
    body: Any  # decoded JSON; None where the server keeps none, or where it is none
    image: bytes  # b"" without one, or where the server keeps none
    image_sha256: str  # of those bytes, "" without
    prompt: str  # the user's text


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What goes back. `body` is sent as `how` says; the Content-Length is always that of all of it."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    latency: float = 0  # seconds before anything is sent, added to the server's
    how: Literal["whole", "reset", "silence", "drip"] = "whole"


Script = Callable[[Request, int], Reply]


def completion(
    text: Any = "A photograph.",
    *,
    finish_reason: Any = "stop",
    prompt_tokens: Any = 300,
    completion_tokens: Any = 50,
    cost: Any = COST,
    provider: Any = "Test Provider",
    message: Mapping[str, Any] | None = None,
    **others: Any,
) -> dict[str, Any]:
    """Return the JSON of a whole answer. `cost` None leaves it out; `message` and `others` add or replace keys."""
    usage = {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens}
    return {
        "id": "gen-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": MODEL,
        "provider": provider,
        "choices": [
            {
                "index": 0,
                "finish_reason": finish_reason,
                "native_finish_reason": finish_reason,
                "logprobs": None,
                "message": {"role": "assistant", "content": text, "refusal": None, **(message or {})},
            }
        ],
        "usage": usage if cost is None else {**usage, "cost": cost},
        **others,
    }


def reply(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """Return a reply with any JSON."""
    return Reply(status=status, headers=headers or {}, body=json.dumps(value).encode())


def ok(text: str = "A photograph.", **usage: Any) -> Reply:
    """Return a caption; `usage`: prompt_tokens, completion_tokens, cost, provider."""
    return reply(completion(text, **usage))


def cut_off(text: str = "A photograph of a") -> Reply:
    """Return a caption that max_tokens cut off."""
    return reply(completion(text, finish_reason="length"))


def filtered(text: str = "") -> Reply:
    """Return what a content filter leaves."""
    return reply(completion(text, finish_reason="content_filter"))


def broken_off(text: str = "A photo") -> Reply:
    """Return an answer whose provider failed in the middle of it."""
    return reply(completion(text, finish_reason="error"))


def refusal(words: str = "I'm sorry, but I can't help with that.") -> Reply:
    """Return an answer with words in the field that refusals have, and no text."""
    return reply(completion(None, message={"refusal": words}))


def empty(text: str | None = "") -> Reply:
    """Return an answer without text; None: with null in its place."""
    return reply(completion(text))


def status(code: int, message: str = "", headers: Mapping[str, str] | None = None, **error: Any) -> Reply:
    """Return an error in OpenRouter's form; `error` adds or replaces keys of its object: code, metadata."""
    told = {"code": code, "message": message or f"test error {code}", **error}
    return reply({"error": told}, code, headers)


def failure(code: int = 502, message: str = "the provider failed", **error: Any) -> Reply:
    """Return a 200 whose body is an error object without choices."""
    return reply({"error": {"code": code, "message": message, **error}})


def echo_authorization(request: Request, code: int = 500) -> Reply:
    """Return an error that repeats the request's Authorization header."""
    return status(code, f"rejected: Authorization: {request.headers.get('authorization')}")


def raw(body: bytes, content_type: str = "application/json", code: int = 200) -> Reply:
    """Return any bytes."""
    return Reply(status=code, headers={"content-type": content_type}, body=body)


def invalid_json() -> Reply:
    """Return a 200 that calls itself JSON and breaks off in the middle."""
    return raw(json.dumps(completion()).encode()[:100])


def html(code: int = 200) -> Reply:
    """Return the page of some proxy."""
    return raw(b"<!DOCTYPE html>\n<html><body><h1>Gateway</h1></body></html>", "text/html", code)


def reset() -> Reply:
    """Return half of an answer; then the connection is reset."""
    return replace(ok(), how="reset")


def silence() -> Reply:
    """Return nothing, ever; the connection stays open."""
    return Reply(how="silence")


def drip() -> Reply:
    """Return a header, then a space every 50 milliseconds for as long as the client waits."""
    return Reply(how="drip")


def late(answer: Reply, seconds: float) -> Reply:
    """Return a reply that comes later."""
    return replace(answer, latency=seconds)


def caption_of(image_sha256: str) -> str:
    """Return the text that the default script answers for an image."""
    return f"A photograph of scene {image_sha256[:12]}, seen from the side."


def answer_ok(request: Request, _nth: int) -> Reply:
    """Answer with a caption made from the image's hash: the default script."""
    return ok(caption_of(request.image_sha256))


class ChatServer:
    """The server. It runs in a thread from `with` to the end of the block, on a free port of 127.0.0.1.

    `requests`: every chat request, in the order of arrival; `seen`: how many of them by the image's SHA-256;
    `lookups`: how often /v1/models was asked for; `most_at_once`: the greatest number of chat requests that waited for
    an answer at the same time; `connections`: how many were made.
    """

    def __init__(
        self, script: Script = answer_ok, *, latency: float = 0, port: int = 0, keep_bodies: bool = True
    ) -> None:
        """`latency`: seconds before each answer. Without `keep_bodies` requests are recorded without body and image."""
        self.requests: list[Request] = []
        self.seen: Counter[str] = Counter()
        self.lookups = 0
        self.most_at_once = 0
        self.connections = 0
        self.url = ""  # of the API: http://127.0.0.1:PORT/v1
        self._script = script
        self._latency = latency
        self._port = port
        self._keep_bodies = keep_bodies
        self._at_once = 0
        self._error: Exception | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="chat-server", daemon=True)
        self._ready = threading.Event()
        self._done = asyncio.Event()

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        if self._loop is None:
            raise RuntimeError("the chat server could not start")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._done.set)
        self._thread.join()
        if self._error is not None and error is None:
            raise self._error

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._talk, "127.0.0.1", self._port, backlog=4096)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        self._loop = asyncio.get_running_loop()
        self._ready.set()
        await self._done.wait()
        server.close()
        talks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in talks:
            task.cancel()
        await asyncio.gather(*talks, return_exceptions=True)
        await server.wait_closed()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection, one after the other."""
        self.connections += 1
        try:
            while await self._exchange(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client has gone
        finally:
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; return whether the connection goes on."""
        head = await _read_head(reader)
        if head is None:
            return False
        line, headers = head
        length = int(headers.get("content-length", "0"))
        if length > _LARGEST_BODY:
            await _send(reader, writer, status(413))
            return False
        body = await reader.readexactly(length)
        match line.split(" ")[:2]:
            case ["GET", "/v1/models"]:
                self.lookups += 1
                return await _send(reader, writer, reply({"data": [model_card()]}))
            case ["POST", "/v1/chat/completions"]:
                return await self._answer(_parse(headers, body), reader, writer)
        return await _send(reader, writer, status(404, f"no route {line}"))

    async def _answer(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        self.seen[request.image_sha256] += 1
        self.requests.append(request if self._keep_bodies else replace(request, body=None, image=b""))
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            try:
                answer = self._script(request, self.seen[request.image_sha256])
            except Exception as error:  # noqa: BLE001 - whatever the test's function raises is raised in the test
                self._error = error
                answer = status(500, f"the script failed: {error}")
            await asyncio.sleep(self._latency + answer.latency)
            return await _send(reader, writer, answer)
        finally:
            self._at_once -= 1


def model_card(model: str = MODEL) -> dict[str, Any]:
    """Return what /v1/models says of a model; prices are USD a token, as text."""
    return {
        "id": model,
        "name": "Test: Vision Model",
        "created": 1_700_000_000,
        "context_length": 1_000_000,
        "architecture": {"modality": "text+image->text", "input_modalities": ["text", "image"]},
        "pricing": {"prompt": "0.000000075", "completion": "0.0000003", "request": "0", "image": "0"},
        "top_provider": {"context_length": 1_000_000, "max_completion_tokens": 8192, "is_moderated": False},
    }


async def _read_head(reader: asyncio.StreamReader) -> tuple[str, dict[str, str]] | None:
    """Return the request line and the headers, None at the end of the connection or where they are no HTTP."""
    line = await reader.readline()
    headers: dict[str, str] = {}
    while line and (field_line := (await reader.readline()).decode("latin-1").strip()):
        name, _, value = field_line.partition(":")
        headers[name.strip().lower()] = value.strip()
        if len(headers) > _MOST_HEADERS:
            return None
    return (line.decode("latin-1").strip(), headers) if line else None


def _parse(headers: dict[str, str], body: bytes) -> Request:
    try:
        said: Any = json.loads(body)
        parts = [part for message in said["messages"] if message["role"] == "user" for part in message["content"]]
        images = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
        prompt = " ".join(part["text"] for part in parts if part["type"] == "text")
        image = base64.b64decode(images[0].removeprefix(_DATA_URL), validate=True) if images else b""
    except (ValueError, LookupError, TypeError, binascii.Error):
        said, prompt, image = None, "", b""
    digest = sha256(image).hexdigest() if image else ""
    return Request(at=time.monotonic(), headers=headers, body=said, image=image, image_sha256=digest, prompt=prompt)


async def _send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Reply) -> bool:
    """Send a reply as it is to be sent; return whether the connection goes on."""
    if answer.how == "silence":
        await reader.read(1)  # until the client gives up
        return False
    length = 1 << 20 if answer.how == "drip" else len(answer.body)
    headers = {"content-type": "application/json", "content-length": str(length), **answer.headers}
    head = f"HTTP/1.1 {answer.status} Test\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    writer.write(head.encode("latin-1") + b"\r\n")
    match answer.how:
        case "whole":
            writer.write(answer.body)
            await writer.drain()
            return True
        case "drip":
            while True:
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.05)
        case "reset":
            writer.write(answer.body[: len(answer.body) // 2])
            await writer.drain()
            connection: socket.socket = writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close with an RST
            writer.transport.abort()
    return False


def main() -> None:
    """Serve until standard input is closed."""
    parser = argparse.ArgumentParser(description="A chat completions server for benchmarks.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency", type=float, default=0, help="seconds before each answer")
    options = parser.parse_args()
    with ChatServer(latency=options.latency, port=options.port, keep_bodies=False) as server:
        print(server.url, flush=True)
        sys.stdin.read()
        told = {"requests": len(server.requests), "images": len(server.seen), "most_at_once": server.most_at_once}
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
