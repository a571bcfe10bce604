"""A chat completions server, spoken to through the `openai` SDK: the only module that knows how. Retries are the SDK's.

Importing it takes half a second.
"""

import asyncio
from types import TracebackType
from typing import Any, Self

import httpx2
import openai

from dataset_assets.captions.chat.answer import Answer, read_answer, read_failure
from dataset_assets.captions.chat.request import Question
from dataset_assets.settings import ChatSettings


class _NotSentError(openai.OpenAIError):
    """A request was to be sent after `stop`. Of its own kind, because the SDK lets that through without a retry."""


class _TimedOutError(openai.APITimeoutError):
    """An attempt took too long. Of a kind that the SDK does not try again: it may have been charged for."""


class _Line(openai.DefaultAsyncHttpxClient):
    """The SDK's HTTP client, in which each attempt waits for its turn and is over when its time is."""

    def __init__(self, variant: ChatSettings) -> None:
        most = variant.concurrency
        super().__init__(
            limits=httpx2.Limits(max_connections=most, max_keepalive_connections=most),
            follow_redirects=False,  # pictures and prompts go to nobody else
            headers={"Accept-Encoding": "identity"},  # a few bytes must not become gigabytes
        )
        self.stopped = asyncio.Event()
        self._seconds = variant.timeout_seconds
        self._interval = 60 / variant.requests_per_minute if variant.requests_per_minute else 0  # seconds
        self._next = 0.0  # by the loop's clock: when the next attempt may start

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        await self._wait_for_turn()
        if self.stopped.is_set():
            raise _NotSentError
        try:
            # The SDK's own limit is for each read, and a server that sends a space now and then meets it for ever.
            async with asyncio.timeout(self._seconds):
                return await super().send(request, **options)
        except (TimeoutError, httpx2.ReadTimeout, httpx2.WriteTimeout) as error:
            raise _TimedOutError(request=request) from error

    async def _wait_for_turn(self) -> None:
        """Return when it is this attempt's turn, at the latest after `stop`: turns are evenly spaced."""
        if not self._interval:
            return
        now = asyncio.get_running_loop().time()
        turn = max(now, self._next)
        self._next = turn + self._interval
        try:
            async with asyncio.timeout(turn - now):
                await self.stopped.wait()
        except TimeoutError:
            return


class Client:
    """A variant's server. Use it as an async context manager, in one event loop."""

    def __init__(self, variant: ChatSettings, key: str) -> None:
        """`key`: "" where none is sent."""
        self._variant = variant
        self._key = key
        self._line = _Line(variant)
        self._sdk = openai.AsyncOpenAI(
            api_key=key or "none",  # it must be given, also where its header is left out
            base_url=variant.url,
            timeout=variant.timeout_seconds,
            max_retries=variant.max_retries,
            http_client=self._line,
        )
        self._headers = None if key else {"Authorization": openai.omit}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._sdk.close()

    def stop(self) -> None:
        """Send nothing more: neither what waits for its turn nor a retry. What is under way comes to its end."""
        self._line.stopped.set()

    async def ask(self, question: Question, request: dict[str, Any]) -> Answer | None:
        """Return the answer to a request, whatever it is; None where it was not sent, or not again, for `stop`."""
        try:
            # The raw body: the SDK's own objects hold whatever the server sent, under types that say otherwise.
            response = await self._sdk.chat.completions.with_raw_response.create(**request, extra_headers=self._headers)
        except _NotSentError:
            return None
        except (openai.OpenAIError, httpx2.HTTPError) as error:
            return read_failure(self._variant, question, error, key=self._key)
        return read_answer(
            self._variant,
            question,
            response.content,
            key=self._key,
            latency=response.elapsed.total_seconds(),
        )
