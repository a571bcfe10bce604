import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple
from typing import Any

import pytest

from dataset_assets.captions.chat.answer import Answer
from dataset_assets.captions.chat.caller import Stop, ask_all
from dataset_assets.captions.chat.request import Question
from dataset_assets.catalog.captions import CaptionStatus
from dataset_assets.settings import ChatSettings
from dataset_assets.settings.captions import PriceSettings
from dataset_assets_tests import children
from dataset_assets_tests.fakes.chat_server import (
    COST,
    MODEL,
    ChatServer,
    Reply,
    Request,
    broken_off,
    completion,
    cut_off,
    drip,
    echo_authorization,
    empty,
    failure,
    filtered,
    html,
    invalid_json,
    late,
    ok,
    refusal,
    reply,
    reset,
    silence,
    status,
)
from dataset_assets_tests.photos import jpeg

KEY = "sk-test-0123456789abcdef"
SOON = {"retry-after-ms": "1"}  # so that the SDK's retries cost no time


class Ledger:
    """What was committed, and the variant's spending: `spent` at the start and what the answers cost."""

    def __init__(self, spent: float = 0) -> None:
        self.batches: list[list[Answer]] = []
        self.spent = spent
        self.threads: set[str] = set()

    def commit(self, answers: Sequence[Answer]) -> float:
        self.batches.append(list(answers))
        self.threads.add(threading.current_thread().name)
        self.spent += sum(answer.cost for answer in answers)
        return self.spent

    @property
    def answers(self) -> list[Answer]:
        return sorted((answer for batch in self.batches for answer in batch), key=lambda answer: answer.id)

    @property
    def ids(self) -> list[int]:
        return [answer.id for answer in self.answers]


def chat(url: str, **settings: Any) -> ChatSettings:
    given = {"name": "caption_test", "backend": "openai", "model": MODEL, "base_url": url, "api_key_env": ""}
    return ChatSettings(**{**given, "concurrency": 4, "max_retries": 1, **settings})


def questions(count: int) -> Iterator[Question]:
    for number in range(count):
        yield Question(id=number, jpeg=f"jpeg {number}".encode(), prompt="Describe it.", input_version=f"v{number}")


def number_of(request: Request) -> int:
    return int(request.image.split()[1])


def always(answer: Reply) -> Callable[[Request, int], Reply]:
    return lambda _request, _nth: answer


def once(answer: Reply) -> Callable[[Request, int], Reply]:
    return lambda _request, nth: answer if nth == 1 else ok("A dog.")


def ask_one(server: ChatServer, **settings: Any) -> Answer:
    """Return the answer to one question, which does not stop the asking."""
    ledger = Ledger()
    assert ask_all(chat(server.url, **settings), questions(1), ledger.commit, spent=0) is None
    (answer,) = ledger.answers
    return answer


def wait_until(done: Callable[[], bool]) -> None:
    """Wait for something that happens in another thread, and a little longer."""
    until = time.monotonic() + 20
    while not done() and time.monotonic() < until:
        time.sleep(0.01)
    time.sleep(0.3)


def test_every_question_is_asked_and_every_answer_committed_once() -> None:
    ledger = Ledger()
    with ChatServer(lambda request, _: ok(f"Scene {number_of(request)}.")) as server:
        stop = ask_all(chat(server.url), questions(30), ledger.commit, spent=0)

    assert stop is None
    assert [(answer.id, answer.input_version, answer.text) for answer in ledger.answers] == [
        (number, f"v{number}", f"Scene {number}.") for number in range(30)
    ]
    assert {answer.status for answer in ledger.answers} == {CaptionStatus.OK}
    assert all(0 < answer.latency < 60 for answer in ledger.answers)
    assert sorted(server.seen.values()) == [1] * 30
    assert ledger.spent == pytest.approx(30 * COST)


def test_no_questions_need_no_server() -> None:
    ledger = Ledger()
    with ChatServer() as server:
        assert ask_all(chat(server.url), [], ledger.commit, spent=0) is None

    assert (ledger.batches, server.connections) == ([], 0)


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        (status(408, "slow", SOON), "HTTP 408: slow"),
        (status(409, "busy", SOON), "HTTP 409: busy"),
        (status(429, "too many", {"retry-after": "0.001"}), "HTTP 429: too many"),
        (status(429, "too many"), "HTTP 429: too many"),
        (status(500, "oops", SOON), "HTTP 500: oops"),
        (status(503, "down", SOON), "HTTP 503: down"),
    ],
)
def test_a_passing_fault_is_tried_again_as_often_as_is_configured(answer: Reply, detail: str) -> None:
    with ChatServer(always(answer)) as server:
        got = ask_one(server)

    assert (got.status, got.detail, got.text) == (CaptionStatus.ERROR, detail, "")
    assert len(server.requests) == 2


def test_the_number_of_retries_is_the_settings() -> None:
    with ChatServer(always(status(500, headers=SOON))) as server:
        ask_one(server, max_retries=0)
        ask_one(server, max_retries=3)

    assert len(server.requests) == 1 + 4


@pytest.mark.parametrize(
    "answer", [status(429, headers={"retry-after": "0.001"}), status(429), status(500, headers=SOON), reset()]
)
def test_a_fault_that_has_passed_leaves_no_trace(answer: Reply) -> None:
    with ChatServer(once(answer)) as server:
        got = ask_one(server)

    assert (got.status, got.text, got.detail) == (CaptionStatus.OK, "A dog.", "")
    first, second = server.requests
    assert first.body == second.body


@pytest.mark.parametrize("answer", [silence(), drip()])
def test_a_server_that_never_answers_is_given_up(answer: Reply) -> None:
    with ChatServer(always(answer)) as server:
        got = ask_one(server, timeout_seconds=0.3)

    assert (got.status, got.detail) == (CaptionStatus.ERROR, "no answer within timeout_seconds = 0.3")
    assert len(server.requests) == 1  # it may have been charged for


def test_a_connection_that_breaks_off_is_an_error() -> None:
    with ChatServer(always(reset())) as server:
        got = ask_one(server)

    assert got.status is CaptionStatus.ERROR
    assert got.detail.startswith(f"the connection to {server.url} failed: ")
    assert len(server.requests) == 2


def test_a_server_that_is_not_there_is_an_error() -> None:
    ledger = Ledger()
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"

    stop = ask_all(chat(url, max_retries=0, stop_after_errors=1), questions(1), ledger.commit, spent=0)

    assert stop is not None
    assert stop.reason == "errors"
    (answer,) = ledger.answers
    assert answer.status is CaptionStatus.ERROR
    assert answer.detail.startswith(f"the connection to {url} failed: ")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (invalid_json(), "error"),
        (html(), "error"),
        (failure(), "error"),
        (broken_off(), "error"),
        (status(400), "error"),
        (status(403), "error"),
        (reply({"choices": []}), "error"),
        (reply(None), "error"),
        (reply(completion(["A dog."])), "error"),
        (status(403, "Your chosen model requires moderation"), "filtered"),
        (filtered(), "filtered"),
        (cut_off(), "truncated"),
        (refusal(), "refused"),
        (ok("I'm sorry, but I can't help with that."), "refused"),
        (ok("I don't see any image."), "unavailable"),
        (ok("[insert caption here]"), "placeholder"),
        (empty(), "empty"),
        (empty(None), "empty"),
        (ok("A dog."), "ok"),
    ],
)
def test_a_whole_answer_is_never_asked_for_again(answer: Reply, expected: str) -> None:
    with ChatServer(always(answer)) as server:
        got = ask_one(server)

    assert got.status == expected
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("answer", "reason", "told"),
    [
        (status(401, "No auth"), "unauthorized", "HTTP 401: No auth"),
        (status(402, "Insufficient credits"), "payment", "HTTP 402: Insufficient credits"),
        (failure(402, "Insufficient credits"), "payment", "error 402: Insufficient credits"),
        (status(404, "No endpoints found"), "model", f"has no model {MODEL} (HTTP 404: No endpoints found)"),
    ],
)
def test_what_no_image_can_change_stops_the_asking(answer: Reply, reason: str, told: str) -> None:
    ledger = Ledger()
    with ChatServer(always(answer)) as server:
        stop = ask_all(chat(server.url, concurrency=1), questions(5), ledger.commit, spent=0)

    assert stop is not None
    assert stop.reason == reason
    assert told in stop.detail
    assert server.url in stop.detail
    assert stop.detail.isprintable()
    assert (ledger.batches, len(server.requests)) == ([], 1)


def test_a_stop_keeps_what_is_under_way_and_asks_nothing_more() -> None:
    def script(request: Request, _nth: int) -> Reply:
        return late(status(402), 0.1) if number_of(request) == 2 else late(ok("A dog."), 0.4)

    ledger = Ledger()
    with ChatServer(script) as server:
        stop = ask_all(chat(server.url), questions(20), ledger.commit, spent=0)

    assert stop is not None
    assert stop.reason == "payment"
    assert ledger.ids == [0, 1, 3]
    assert len(server.requests) == 4


def test_those_that_meet_the_same_have_no_answer_either() -> None:
    ledger = Ledger()
    with ChatServer(always(late(status(402), 0.2))) as server:
        stop = ask_all(chat(server.url), questions(20), ledger.commit, spent=0)

    assert stop is not None
    assert stop.reason == "payment"
    assert (ledger.batches, len(server.requests)) == ([], 4)


def test_a_retry_is_not_sent_after_a_stop() -> None:
    def script(request: Request, _nth: int) -> Reply:
        return late(status(401), 0.1) if number_of(request) == 0 else late(status(500, headers=SOON), 0.4)

    ledger = Ledger()
    with ChatServer(script) as server:
        stop = ask_all(chat(server.url, concurrency=2, max_retries=5), questions(9), ledger.commit, spent=0)

    assert stop is not None
    assert stop.reason == "unauthorized"
    assert (ledger.batches, len(server.requests)) == ([], 2)


def test_errors_in_a_row_stop_the_asking() -> None:
    ledger = Ledger()
    with ChatServer(lambda request, _: failure(502, f"down {number_of(request)}")) as server:
        stop = ask_all(chat(server.url, concurrency=1, stop_after_errors=3), questions(9), ledger.commit, spent=0)

    assert stop == Stop(
        reason="errors",
        detail=f"3 images in a row got no answer from {server.url}; the last: error 502: down 2",
    )
    assert ledger.ids == [0, 1, 2]


def test_any_other_answer_between_them_breaks_the_row() -> None:
    ledger = Ledger()
    with ChatServer(lambda request, _: failure() if number_of(request) % 3 else refusal()) as server:
        stop = ask_all(chat(server.url, concurrency=1, stop_after_errors=3), questions(9), ledger.commit, spent=0)

    assert stop is None
    assert [answer.status for answer in ledger.answers] == ["refused", "error", "error"] * 3


def test_a_budget_is_kept() -> None:
    ledger = Ledger()
    with ChatServer() as server:
        stop = ask_all(chat(server.url, budget_usd=5.5 * COST), questions(20), ledger.commit, spent=0)

    assert stop is not None
    assert stop.reason == "budget"
    assert "budget_usd = 0.0055" in stop.detail
    assert "$0.0050" in stop.detail
    assert ledger.ids == [0, 1, 2, 3, 4]
    assert len(server.requests) == 5


def test_what_is_under_way_is_in_the_budget() -> None:
    ledger = Ledger()
    with ChatServer(latency=0.1) as server:
        stop = ask_all(chat(server.url, concurrency=16, budget_usd=10 * COST), questions(50), ledger.commit, spent=0)

    assert stop is not None
    assert stop.reason == "budget"
    assert len(server.requests) == 10
    assert ledger.spent == pytest.approx(10 * COST)


def test_a_budget_that_is_just_enough_stops_nothing() -> None:
    ledger = Ledger()
    with ChatServer() as server:
        assert ask_all(chat(server.url, budget_usd=5 * COST), questions(5), ledger.commit, spent=0) is None

    assert ledger.ids == [0, 1, 2, 3, 4]


def test_what_was_spent_before_is_in_the_budget() -> None:
    some, none = Ledger(spent=3.5 * COST), Ledger(spent=5 * COST)
    with ChatServer() as server:
        variant = chat(server.url, budget_usd=5 * COST)
        stops = [ask_all(variant, questions(9), ledger.commit, spent=ledger.spent) for ledger in (some, none)]

    assert [stop and stop.reason for stop in stops] == ["budget", "budget"]
    assert (some.ids, none.ids, len(server.requests)) == ([0], [], 1)


def test_what_others_spend_meanwhile_is_in_the_budget() -> None:
    ledger = Ledger()

    def commit(answers: Sequence[Answer]) -> float:
        ledger.commit(answers)
        return 2 * ledger.spent  # another process spends as much

    with ChatServer() as server:
        stop = ask_all(chat(server.url, concurrency=1, budget_usd=6.5 * COST), questions(20), commit, spent=0)

    assert stop is not None
    assert stop.reason == "budget"
    assert ledger.ids == [0, 1, 2]


def test_a_budget_without_prices_stops_after_the_first_caption() -> None:
    ledger = Ledger()
    with ChatServer(always(late(ok("A dog.", cost=None), 0.1))) as server:
        stop = ask_all(chat(server.url, budget_usd=1), questions(20), ledger.commit, spent=0)

    assert stop is not None
    assert stop.reason == "unpriced"
    assert "set prices, or budget_usd = 0" in stop.detail
    assert (ledger.ids, len(server.requests)) == ([0], 1)


def test_prices_make_a_budget_where_the_server_tells_no_cost() -> None:
    ledger = Ledger()
    with ChatServer(always(ok("A dog.", cost=None, prompt_tokens=1000, completion_tokens=0))) as server:
        variant = chat(server.url, budget_usd=0.0035, prices=PriceSettings(input=1.0))
        stop = ask_all(variant, questions(20), ledger.commit, spent=0)

    assert stop is not None
    assert stop.reason == "budget"
    assert ledger.spent == pytest.approx(0.003)


def test_an_error_without_a_cost_says_nothing_about_prices() -> None:
    ledger = Ledger()
    with ChatServer(lambda request, _: failure() if number_of(request) < 2 else ok()) as server:
        assert ask_all(chat(server.url, budget_usd=1), questions(6), ledger.commit, spent=0) is None

    assert [answer.status for answer in ledger.answers] == ["error"] * 2 + ["ok"] * 4


def test_no_more_are_asked_at_once_than_is_configured() -> None:
    with ChatServer(latency=0.05) as server:
        ask_all(chat(server.url, concurrency=3), questions(12), Ledger().commit, spent=0)

    assert server.most_at_once == 3
    assert server.connections == 3


def test_a_question_is_taken_when_there_is_a_place_for_it() -> None:
    ledger = Ledger()
    ahead = []

    def counted() -> Iterator[Question]:
        for question in questions(30):
            ahead.append(question.id - sum(map(len, ledger.batches)))
            yield question

    with ChatServer() as server:
        ask_all(chat(server.url, concurrency=3), counted(), ledger.commit, spent=0)

    assert len(ahead) == 30
    assert max(ahead) <= 2  # besides itself


def test_a_place_is_free_when_its_answer_is_committed() -> None:
    ledger = Ledger()
    asked: list[int] = []

    def commit(answers: Sequence[Answer]) -> float:
        if not asked:
            wait_until(lambda: len(server.requests) == 2)
            asked.append(len(server.requests))
        return ledger.commit(answers)

    with ChatServer() as server:
        ask_all(chat(server.url, concurrency=2), questions(10), commit, spent=0)

    assert asked == [2]
    assert ledger.ids == list(range(10))


def test_what_arrives_during_a_commit_is_committed_together() -> None:
    ledger = Ledger()

    def commit(answers: Sequence[Answer]) -> float:
        if not ledger.batches:
            wait_until(lambda: len(server.requests) == 8)
        return ledger.commit(answers)

    with ChatServer() as server:
        ask_all(chat(server.url, concurrency=8), questions(8), commit, spent=0)

    assert ledger.ids == list(range(8))
    assert len(ledger.batches) < 8
    assert ledger.threads == {"answers_0"}


def test_questions_are_taken_in_a_thread_of_their_own() -> None:
    threads = set()

    def named() -> Iterator[Question]:
        for question in questions(9):
            threads.add(threading.current_thread().name)
            yield question

    with ChatServer() as server:
        ask_all(chat(server.url), named(), Ledger().commit, spent=0)

    assert threads == {"questions_0"}


def test_what_commit_raises_ends_everything() -> None:
    calls = []

    def commit(answers: Sequence[Answer]) -> float:
        calls.append(len(answers))
        raise OSError("disk full")

    started = time.monotonic()
    with (
        ChatServer(lambda request, _: ok() if number_of(request) < 2 else silence()) as server,
        pytest.raises(OSError, match="disk full"),
    ):
        ask_all(chat(server.url), questions(100), commit, spent=0)

    assert len(calls) == 1
    assert time.monotonic() - started < 60  # nobody waited for the two that are never answered


def test_what_the_questions_raise_is_raised_when_what_is_under_way_is_committed() -> None:
    ledger = Ledger()

    def broken() -> Iterator[Question]:
        yield from questions(3)
        raise ValueError("the crops are damaged")

    with ChatServer(latency=0.1) as server, pytest.raises(ValueError, match="the crops are damaged"):
        ask_all(chat(server.url), broken(), ledger.commit, spent=0)

    assert ledger.ids == [0, 1, 2]


def test_an_interrupt_drops_what_is_under_way_and_commits_what_has_arrived() -> None:
    ledger = Ledger()

    def commit(answers: Sequence[Answer]) -> float:
        if not ledger.batches:
            wait_until(lambda: len(server.requests) == 4)
            os.kill(os.getpid(), signal.SIGINT)
        return ledger.commit(answers)

    with (
        ChatServer(lambda request, _: ok() if number_of(request) < 2 else silence()) as server,
        pytest.raises(KeyboardInterrupt),
    ):
        ask_all(chat(server.url), questions(100), commit, spent=0)

    assert ledger.ids == [0, 1]
    assert len(server.requests) == 4


class Terminated(BaseException):
    """What another program's handler of Ctrl-C raises."""


def test_an_interrupt_is_handed_on_to_whoever_takes_them() -> None:
    def terminate(*_: object) -> None:
        raise Terminated

    ledger = Ledger()

    def commit(answers: Sequence[Answer]) -> float:
        os.kill(os.getpid(), signal.SIGINT)
        return ledger.commit(answers)

    before = signal.signal(signal.SIGINT, terminate)
    try:
        with (
            ChatServer(lambda request, _: ok() if number_of(request) < 1 else silence()) as server,
            pytest.raises(Terminated),
        ):
            ask_all(chat(server.url), questions(100), commit, spent=0)
        assert signal.getsignal(signal.SIGINT) is terminate
    finally:
        signal.signal(signal.SIGINT, before)

    assert ledger.ids == [0]


def test_attempts_are_evenly_spaced_and_retries_are_attempts() -> None:
    ledger = Ledger()
    with ChatServer(once(status(500, headers=SOON))) as server:
        started = time.monotonic()
        ask_all(chat(server.url, requests_per_minute=600), questions(4), ledger.commit, spent=0)

    assert ledger.ids == [0, 1, 2, 3]
    assert len(server.requests) == 8
    for number, request in enumerate(server.requests):
        assert request.at - started >= 0.1 * number


def test_a_stop_does_not_wait_for_anyones_turn() -> None:
    ledger = Ledger()
    with ChatServer(always(status(401))) as server:
        stop = ask_all(chat(server.url, requests_per_minute=0.01), questions(9), ledger.commit, spent=0)

    assert stop is not None
    assert stop.reason == "unauthorized"
    assert (ledger.batches, len(server.requests)) == ([], 1)


def test_the_key_is_sent_and_never_told(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("TEST_KEY", f"{KEY}\n")
    ledger = Ledger()
    caplog.set_level("DEBUG")
    with ChatServer(lambda request, nth: echo_authorization(request, 400 if nth == 1 else 401)) as server:
        variant = chat(server.url, api_key_env="TEST_KEY")
        first = ask_all(variant, questions(1), ledger.commit, spent=0)
        second = ask_all(variant, questions(1), ledger.commit, spent=0)

    assert [request.headers["authorization"] for request in server.requests] == [f"Bearer {KEY}"] * 2
    assert first is None
    assert second is not None
    assert ledger.answers[0].detail == "HTTP 400: rejected: Authorization: Bearer ***"
    assert "set TEST_KEY" in second.detail
    assert KEY not in " ".join(map(str, [*astuple(ledger.answers[0]), second, caplog.text]))


@pytest.mark.parametrize("value", [None, "", " ", "two words", "clé", "a\nb"])
def test_without_a_key_nobody_is_asked(value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEST_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("TEST_KEY", value)
    with ChatServer() as server:
        stop = ask_all(chat(server.url, api_key_env="TEST_KEY"), questions(3), Ledger().commit, spent=0)

    assert stop is not None
    assert stop.reason == "unauthorized"
    assert stop.detail.startswith("TEST_KEY ")
    assert stop.detail.endswith(f"set TEST_KEY to a key of {server.url}")
    assert server.requests == []


def test_where_no_key_is_needed_none_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "OPENROUTER_API_KEY"):
        monkeypatch.setenv(name, KEY)
    with ChatServer() as server:
        ask_one(server)

    (request,) = server.requests
    assert "authorization" not in request.headers
    assert KEY not in str(request)


def test_a_server_that_wants_a_key_after_all_says_where_to_name_it() -> None:
    with ChatServer(always(status(401))) as server:
        stop = ask_all(chat(server.url), questions(1), Ledger().commit, spent=0)

    assert stop is not None
    assert "api_key_env" in stop.detail


def test_an_image_that_cannot_be_sent_is_an_error_of_its_own() -> None:
    ledger = Ledger()
    good = jpeg(200, 100)
    asked = [Question(id=i, jpeg=data, prompt="", input_version="v") for i, data in enumerate((good[:99], good))]
    with ChatServer() as server:
        assert ask_all(chat(server.url, image_max_side=50), asked, ledger.commit, spent=0) is None

    assert [answer.status for answer in ledger.answers] == ["error", "ok"]
    assert ledger.answers[0].detail.startswith("the image cannot be sent: ")
    assert len(server.requests) == 1


def test_the_sdk_is_imported_when_something_is_asked() -> None:
    code = "import sys, dataset_assets.captions.chat.caller; print(sorted({'openai', 'httpx2'} & sys.modules.keys()))"

    assert children.run(code) == "[]"
