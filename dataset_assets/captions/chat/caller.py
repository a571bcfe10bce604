"""Many questions to one model at a time: how many, how fast, for how much, and when to stop.

What a server says is answer.py's, what is sent to it request.py's and client.py's. Nothing is known here of where
questions come from, and of where answers go.
"""

import asyncio
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from dataset_assets.captions.chat.answer import Answer, refuse
from dataset_assets.captions.chat.request import Question, make_request
from dataset_assets.catalog.captions import CaptionStatus
from dataset_assets.errors import SampleError
from dataset_assets.settings import ChatSettings

if TYPE_CHECKING:
    from dataset_assets.captions.chat.client import Client

Reason = Literal["unauthorized", "payment", "model", "budget", "unpriced", "errors"]
Commit = Callable[[Sequence[Answer]], float]
Asked = tuple[Question, dict[str, Any]] | Answer  # a question with its request, or with its answer where it has none

_PATIENCE = 0.01  # seconds until the questions that are ready are asked, and others waited for
_ROUNDING = 1e-9  # of the budget: sums of costs are not exact


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Why a model is not asked any further."""

    reason: Reason
    detail: str  # one line for a person: what is wrong and what to do


def ask_all(
    variant: ChatSettings, questions: Iterable[Question], commit: Commit, *, spent: float, price: float = 0
) -> Stop | None:
    """Ask every question and commit every answer; return why it stopped before the end, None when it did not.

    A question is taken when one of `concurrency` places is free, and gives it up when its answer is committed, so a
    killed process loses at most that many. `commit` gets all answers that have arrived since its last call, and returns
    what the variant has cost in all, USD; `spent` is that at the start, `price` the mean of a caption before, 0 where
    there is none. It is called in one thread of its own, as
    `questions` is.

    After a stop, what is under way is finished and committed; questions that met the reason have no answer, so no
    attempt is lost. What `questions` raises is raised after that. Ctrl-C drops what is under way and commits what has
    arrived; what `commit` raises is raised at once, and nothing is committed any more.
    """
    from dataset_assets.captions.chat.client import Client  # half a second, where nothing is asked

    name = variant.key_variable
    key = os.environ.get(name, "").strip() if name else ""
    if name and not (key.isascii() and key.isprintable() and key and " " not in key):
        wrong = "holds what cannot be a key" if key else "is not set"
        return Stop(reason="unauthorized", detail=f"{name} {wrong}: set {name} to a key of {variant.url}")

    async def run() -> Stop | None:
        with ThreadPoolExecutor(1, "questions") as reader, ThreadPoolExecutor(1, "answers") as writer:
            async with Client(variant, key) as client:
                asking = _Asking(variant, client, iter(questions), commit, spent=spent, price=price)
                return await asking.run(reader, writer)

    with _taking_interrupts():
        return asyncio.run(run())


@contextmanager
def _taking_interrupts() -> Iterator[None]:
    """Let asyncio take Ctrl-C, and hand it on when the loop has ended, to whoever took it before.

    What a signal's handler raises in the middle of the loop's own code is printed and forgotten; asyncio sees to that
    only where the handler is Python's.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        before(signal.SIGINT, None)
        raise
    finally:
        signal.signal(signal.SIGINT, before)


class _Asking:
    """One call of `ask_all`, in its event loop."""

    def __init__(
        self,
        variant: ChatSettings,
        client: "Client",
        questions: Iterator[Question],
        commit: Commit,
        *,
        spent: float,
        price: float,
    ) -> None:
        self._variant = variant
        self._client = client
        self._questions = questions
        self._commit = commit
        self._spent = spent  # USD, as the last commit said
        self._uncommitted = 0.0  # USD, by answers that no commit has told of yet
        self._reason: Reason | None = None  # why nothing more is asked
        self._said = ""  # by the server, about that
        self._waiting = 0  # workers that want a question
        self._reading = asyncio.Lock()
        self._taken: deque[Asked] = deque()  # for those who wait
        self._exhausted = False  # no question is taken any more; the reader's
        self._failure: BaseException | None = None  # of `questions`
        self._broken = False  # commit has failed
        self._under_way = 0  # questions asked and not answered
        self._errors = 0  # in a row
        self._priced = 0  # answers whose cost is known
        self._cost = 0.0  # USD, of those
        self._price = price  # USD, of a caption before
        self._alone = asyncio.Lock()  # held by whoever asks while no price is known
        self._arrived: list[Answer] = []  # and not committed
        self._number = 0  # answers that have arrived so far
        self._committed = 0
        self._writing = asyncio.Lock()

    async def run(self, reader: Executor, writer: Executor) -> Stop | None:
        """Ask until there is no question left, or no use."""
        workers = [asyncio.create_task(self._work(reader, writer)) for _ in range(self._variant.concurrency)]
        try:
            done, _ = await asyncio.wait(workers, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.wait(workers)
            if self._arrived and not self._broken:
                await self._write(writer)
        for worker in done:
            worker.result()
        if self._failure is not None:
            raise self._failure
        return None if self._reason is None else self._explain(self._reason)

    async def _work(self, reader: Executor, writer: Executor) -> None:
        """Ask one question after the other. While a budget is to be kept and no price is known, nobody else does."""
        more = True
        while more:
            if self._blind:
                async with self._alone:
                    more = await self._step(reader, writer) if self._blind else True
            else:
                more = await self._step(reader, writer)

    @property
    def _blind(self) -> bool:
        return bool(self._variant.budget_usd) and not self._priced and not self._price

    @property
    def _mean(self) -> float:
        """What a caption costs, USD; 0 where that is not known yet."""
        return self._cost / self._priced if self._priced else self._price

    @property
    def _over(self) -> bool:
        return self._reason is not None or self._broken

    async def _step(self, reader: Executor, writer: Executor) -> bool:
        """Ask the next question and return when its answer is committed; return whether to go on."""
        asked = await self._next(reader)
        if asked is None or self._over or not self._affordable():
            return False
        if isinstance(asked, Answer):
            answer: Answer | None = asked
        else:
            self._under_way += 1
            try:
                answer = await self._client.ask(*asked)
            finally:
                self._under_way -= 1
        if answer is None:  # the client sends nothing after a stop
            return False
        if answer.halt:
            self._end(answer.halt, answer.detail)
            return False
        self._judge(answer)
        await self._put(answer, writer)
        return not self._over

    async def _next(self, reader: Executor) -> Asked | None:
        """Return the next question, None after the last; what taking it raises is kept for the end.

        One call of the reader serves all who wait: each costs two changes of thread, milliseconds on a busy machine.
        """
        self._waiting += 1
        async with self._reading:
            if not self._taken:
                taken = asyncio.get_running_loop().run_in_executor(reader, self._take, self._waiting)
                await asyncio.wait([taken])
                self._failure = self._failure or taken.exception()
            self._waiting -= 1
            return self._taken.popleft() if self._taken else None

    def _take(self, most: int) -> None:
        """Make the next questions ready to be asked: `most`, or as many as come quickly. In the reader's thread."""
        until = time.monotonic() + _PATIENCE
        while not (self._exhausted or self._over):
            self._exhausted = True  # unless this ends well
            question = next(self._questions, None)
            if question is None:
                return
            self._exhausted = False
            try:
                self._taken.append((question, make_request(self._variant, question)))
            except SampleError as error:
                self._taken.append(refuse(question, f"the image cannot be sent: {error.detail}"))
            most -= 1
            if not most or time.monotonic() > until:
                return

    def _affordable(self) -> bool:
        """Return whether one more caption is within the budget, at the mean price so far; if not, that is the end."""
        budget = self._variant.budget_usd
        if not budget:
            return True
        mean = self._mean
        spent = self._spent + self._uncommitted
        if spent < budget and spent + (self._under_way + 1) * mean <= budget * (1 + _ROUNDING):
            return True
        self._end("budget")
        return False

    def _judge(self, answer: Answer) -> None:
        """Count an answer, and end where it says that the next would be no better."""
        if answer.priced:
            self._priced += 1
            self._cost += answer.cost
        elif self._blind and answer.text:
            self._end("unpriced")
        self._errors = self._errors + 1 if answer.status is CaptionStatus.ERROR else 0
        if self._errors >= self._variant.stop_after_errors:
            self._end("errors", answer.detail)

    def _end(self, reason: Reason, said: str = "") -> None:
        """Ask nothing more; the first reason is the one that is told."""
        if self._reason is None:
            self._reason, self._said = reason, said
            self._client.stop()

    async def _put(self, answer: Answer, writer: Executor) -> None:
        """Return when the answer is committed, by this call or together with those before it."""
        self._arrived.append(answer)
        self._uncommitted += answer.cost
        self._number += 1
        number = self._number
        async with self._writing:
            if number > self._committed and not self._broken:
                await self._write(writer)

    async def _write(self, writer: Executor) -> None:
        """Commit everything that has arrived. Cancelling it does not undo it."""
        batch, self._arrived = self._arrived, []
        written = asyncio.get_running_loop().run_in_executor(writer, self._commit, batch)
        await asyncio.wait([written])
        self._broken = written.exception() is not None
        self._spent = written.result()
        self._uncommitted -= sum(answer.cost for answer in batch)
        self._committed += len(batch)

    def _explain(self, reason: Reason) -> Stop:
        """Return a stop with what to do about it."""
        variant, said, url = self._variant, self._said, self._variant.url
        name = variant.key_variable
        key = f"set {name} to a valid one" if name else "name the variable that holds one in api_key_env"
        advice: dict[Reason, str] = {
            "unauthorized": f"{url} does not take the key ({said}): {key}",
            "payment": f"{url} asks for money ({said}): top up the account that the key belongs to",
            "model": f"{url} has no model {variant.model} ({said}): correct model or base_url",
            "budget": f"budget_usd = {variant.budget_usd:g} leaves nothing for another caption, "
            f"${self._spent:.4f} are spent: raise it",
            "unpriced": f"{url} does not say what a caption costs, so that no budget can be kept: "
            "set prices, or budget_usd = 0",
            "errors": f"{variant.stop_after_errors} images in a row got no answer from {url}; the last: {said}",
        }
        return Stop(reason=reason, detail=advice[reason])
