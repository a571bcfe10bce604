import json
from dataclasses import astuple
from typing import Any

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_assets.captions.chat.answer import Answer, read_answer, read_failure
from dataset_assets.captions.chat.request import Question
from dataset_assets.catalog.captions import CaptionStatus
from dataset_assets.settings import ChatSettings
from dataset_assets.settings.captions import PriceSettings
from dataset_assets_tests.fakes.chat_server import MODEL, ChatServer, completion, raw

KEY = "sk-test-0123456789abcdef"
QUESTION = Question(id=7, jpeg=b"", prompt="", input_version="crop:1")


def chat(**settings: Any) -> ChatSettings:
    return ChatSettings(**{"name": "caption_test", "backend": "openrouter", "model": MODEL, **settings})


def read(said: Any, key: str = KEY, **settings: Any) -> Answer:
    """Return the answer that a body is; `said`: its bytes, or what it is the JSON of."""
    body = said if isinstance(said, bytes) else json.dumps(said).encode()
    return read_answer(chat(**settings), QUESTION, body, key=key, latency=0.25)


def complained(error: Any) -> Answer:
    return read({"error": error})


def failed(status: int, body: Any) -> Answer:
    """Return the answer that an HTTP status is, as the SDK raises it."""
    sent = raw(b"" if body is None else json.dumps(body).encode(), code=status)
    with ChatServer(lambda _request, _nth: sent) as server:
        client = openai.OpenAI(api_key=KEY, base_url=server.url, max_retries=0)
        with client, pytest.raises(openai.APIStatusError) as caught:
            client.chat.completions.create(model=MODEL, messages=[])
    return read_failure(chat(), QUESTION, caught.value, key=KEY)


def test_a_caption_comes_with_everything_that_is_said_about_it() -> None:
    said = completion("  A dog on a beach.\n", prompt_tokens=310, completion_tokens=12, cost=0.00042, provider="Google")

    assert read(said) == Answer(
        id=7,
        input_version="crop:1",
        status=CaptionStatus.OK,
        text="A dog on a beach.",
        detail="",
        finish_reason="stop",
        provider="Google",
        prompt_tokens=310,
        completion_tokens=12,
        cost=0.00042,
        priced=True,
        latency=0.25,
        halt="",
    )


@pytest.mark.parametrize(
    ("said", "status", "text", "detail"),
    [
        (completion("A dog on", finish_reason="length"), "truncated", "A dog on", "cut off at max_tokens = 300"),
        (
            completion("", finish_reason="length"),
            "truncated",
            "",
            "cut off at max_tokens = 300, before any text",
        ),
        (
            completion("I'm sorry, but I can't help with", finish_reason="length"),
            "refused",
            "I'm sorry, but I can't help with",
            "cut off at max_tokens = 300",
        ),
        (completion("…", finish_reason="length"), "truncated", "…", "cut off at max_tokens = 300"),
        (
            completion("A dog", finish_reason="content_filter"),
            "filtered",
            "A dog",
            "stopped by the content filter: content_filter",
        ),
        (completion("A dog", finish_reason="error"), "error", "A dog", 'finish_reason is "error", not "stop"'),
        (completion("", finish_reason="tool_calls"), "error", "", 'finish_reason is "tool_calls", not "stop"'),
        (
            completion("A dog.", finish_reason=None),
            "error",
            "A dog.",
            "no finish_reason: nobody says that the text is whole",
        ),
        (
            completion("A dog.", finish_reason=""),
            "error",
            "A dog.",
            "no finish_reason: nobody says that the text is whole",
        ),
        (completion(None), "empty", "", "there is no text"),
        (completion(" \n"), "empty", "", "there is no text"),
        (completion("\0"), "empty", "", "there is no text"),
        (completion(None, message={"refusal": "I can't\nhelp."}), "refused", "", "I can't help."),
        (completion("I can't help with that."), "refused", "I can't help with that.", "I can't help with that."),
        (completion("No image was provided."), "unavailable", "No image was provided.", "No image was provided."),
        (completion("[insert caption here]"), "placeholder", "[insert caption here]", "[insert caption here]"),
        (completion("A dog.", message={"refusal": ""}), "ok", "A dog.", ""),
        (completion("A dog.", error=None), "ok", "A dog.", ""),
    ],
)
def test_what_an_answer_is(said: Any, status: str, text: str, detail: str) -> None:
    answer = read(said)

    assert (answer.status, answer.text, answer.detail) == (status, text, detail)
    assert (answer.priced, answer.cost, answer.prompt_tokens) == (True, 0.001, 300)  # paid for, whatever it is


@pytest.mark.parametrize(
    ("said", "detail"),
    [
        (b"", "the answer is empty"),
        (b"  \n \n", "the answer is empty"),
        (b'{"choices": [', 'the answer is not JSON: {"choices": ['),
        (b"<!DOCTYPE html>\n<h1>Gateway</h1>", "the answer is not JSON: <!DOCTYPE html> <h1>Gateway</h1>"),
        (b"data: {}\n\ndata: [DONE]\n", "the answer is not JSON: data: {} data: [DONE]"),
        (b"\xff\xfe", "the answer is not JSON: \ufffd\ufffd"),
        (b"[" * 100_000, f"the answer is not JSON: {'[' * 199}…"),
        (b'{"usage": ' + b"9" * 5000 + b"}", f'the answer is not JSON: {{"usage": {"9" * 189}…'),
        (None, "the answer is null, not an object"),
        ("A dog.", "the answer is text, not an object"),
        ([], "the answer is a list, not an object"),
        (7.5, "the answer is a number, not an object"),
        (True, "the answer is true or false, not an object"),
        ({}, "the answer has no choices"),
        ({"choices": []}, "the answer has no choices"),
        ({"choices": None}, "the answer has no choices"),
        ({"choices": "A dog."}, "the answer has no choices"),
        ({"choices": [None]}, "the answer has no choices"),
        ({"choices": {"0": {}}}, "the answer has no choices"),
        ({"choices": [{}]}, "the answer has no message"),
        ({"choices": [{"message": None}]}, "the answer has no message"),
        ({"choices": [{"message": ["A dog."]}]}, "the answer has no message"),
        (completion(["A dog."]), "the message's content is a list, not text"),
        (completion({"text": "A dog."}), "the message's content is an object, not text"),
        (completion(5), "the message's content is a number, not text"),
        (completion("", finish_reason=["stop"]), "no finish_reason: nobody says that the text is whole"),
    ],
)
def test_an_answer_of_another_form_is_an_error(said: Any, detail: str) -> None:
    answer = read(said)

    assert (answer.status, answer.text, answer.detail) == (CaptionStatus.ERROR, "", detail)
    assert (answer.id, answer.input_version, answer.latency, answer.halt) == (7, "crop:1", 0.25, "")


@pytest.mark.parametrize(
    ("usage", "tokens", "cost"),
    [
        ({"prompt_tokens": 3, "completion_tokens": 4, "cost": 0.5}, (3, 4), 0.5),
        ({"prompt_tokens": 3.0, "completion_tokens": 4, "cost": 0}, (3, 4), 0),
        ({"prompt_tokens": 3, "completion_tokens": 4}, (3, 4), None),
        ({"cost": 0.5}, (0, 0), 0.5),
        ({"prompt_tokens": "3", "completion_tokens": None, "cost": "0.5"}, (0, 0), None),
        ({"prompt_tokens": -3, "completion_tokens": True, "cost": -1}, (0, 0), None),
        ({"prompt_tokens": 10**30, "completion_tokens": 10**400, "cost": float("nan")}, (0, 0), None),
        ({"prompt_tokens": [3], "completion_tokens": {}, "cost": float("inf")}, (0, 0), None),
        ({"cost": 0.01, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.2}}, (0, 0), 0.21),
        ({"cost": 0.01, "is_byok": True, "cost_details": {"upstream_inference_cost": None}}, (0, 0), 0.01),
        ({"cost": 0.01, "is_byok": True, "cost_details": None}, (0, 0), 0.01),
        ({"cost": 0.2, "is_byok": False, "cost_details": {"upstream_inference_cost": 0.2}}, (0, 0), 0.2),
        (None, (0, 0), None),
        ("free", (0, 0), None),
        ([], (0, 0), None),
    ],
)
def test_what_an_answer_cost(usage: Any, tokens: tuple[int, int], cost: float | None) -> None:
    answer = read({**completion("A dog."), "usage": usage})

    assert (answer.status, (answer.prompt_tokens, answer.completion_tokens)) == (CaptionStatus.OK, tokens)
    assert answer.cost == pytest.approx(cost or 0)
    assert answer.priced is (cost is not None)


def test_prices_are_worked_out_where_the_server_does_not_tell() -> None:
    prices = PriceSettings(input=0.075, output=0.3)  # USD a million tokens

    worked_out = read(completion(prompt_tokens=1000, completion_tokens=100, cost=None), prices=prices)
    told = read(completion(prompt_tokens=1000, completion_tokens=100, cost=0.5), prices=prices)
    nothing = read({**completion(), "usage": None}, prices=prices)

    assert worked_out.cost == pytest.approx(0.000105)
    assert worked_out.priced
    assert (told.cost, told.priced) == (0.5, True)
    assert (nothing.cost, nothing.priced) == (0, False)


@pytest.mark.parametrize(
    ("error", "status", "detail", "halt"),
    [
        ({"code": 502, "message": "down"}, "error", "error 502: down", ""),
        ({"code": "502", "message": "down"}, "error", "error 502: down", ""),
        ({"code": 401, "message": "No auth"}, "error", "error 401: No auth", "unauthorized"),
        ({"code": 402, "message": "Insufficient credits"}, "error", "error 402: Insufficient credits", "payment"),
        ({"code": "insufficient_quota", "message": "quota"}, "error", "error 402: quota", "payment"),
        ({"code": 404, "message": "gone"}, "error", "error 404: gone", ""),  # some provider's: the model answered
        ({"code": 403, "message": "Your input was flagged"}, "filtered", "error 403: Your input was flagged", ""),
        ({"code": 403, "message": "no", "metadata": {"reasons": ["sexual"]}}, "filtered", "error 403: no", ""),
        ({"code": 403, "message": "not in your country"}, "error", "error 403: not in your country", ""),
        ({"code": "content_filter", "message": "blocked"}, "filtered", "error: blocked", ""),
        (
            {"code": 429, "message": "Provider returned error", "metadata": {"raw": "slow\ndown"}},
            "error",
            "error 429: Provider returned error: slow down",
            "",
        ),
        ("it broke", "error", "error: it broke", ""),
        ({"message": ["a", 1]}, "error", 'error: ["a", 1]', ""),
        ({"reason": "b"}, "error", 'error: {"reason": "b"}', ""),
        (["a"], "error", 'error: ["a"]', ""),
        (True, "error", "error: true", ""),
        ({"code": [], "type": {}, "message": "m", "metadata": []}, "error", "error: m", ""),
        ({"code": 10**40, "message": "m"}, "error", "error: m", ""),
    ],
)
def test_what_an_error_object_is(error: Any, status: str, detail: str, halt: str) -> None:
    answer = complained(error)

    assert (answer.status, answer.detail, answer.halt) == (status, detail, halt)
    assert (answer.text, answer.cost, answer.priced) == ("", 0, False)


def test_an_error_beside_a_text_is_an_error() -> None:
    beside = read({**completion("A dog"), "error": {"code": 502, "message": "down"}})
    said = completion("A dog", finish_reason="error")
    said["choices"][0]["error"] = {"code": 502, "message": "down"}

    for answer in (beside, read(said)):
        assert (answer.status, answer.detail) == (CaptionStatus.ERROR, "error 502: down")
        assert answer.cost == 0.001


@pytest.mark.parametrize(
    ("status", "body", "detail", "halt"),
    [
        (400, {"error": {"message": "too many images", "code": 400}}, "HTTP 400: too many images", ""),
        (400, {"error": {"message": "x/y is not a valid model ID"}}, "HTTP 400: x/y is not a valid model ID", "model"),
        (401, {"error": {"message": "No auth", "code": 401}}, "HTTP 401: No auth", "unauthorized"),
        (402, {"error": {"message": "no credits", "code": 402}}, "HTTP 402: no credits", "payment"),
        (403, {"error": {"message": "no", "code": "model_not_found"}}, "HTTP 403: no", "model"),
        (404, {"detail": "Not Found"}, "HTTP 404: Not Found", "model"),
        (404, None, "HTTP 404", "model"),
        (422, {"detail": [{"loc": "body"}]}, 'HTTP 422: [{"loc": "body"}]', ""),
        (429, {"error": {"message": "slow", "code": 429}}, "HTTP 429: slow", ""),
        (429, {"error": {"message": "quota", "code": "insufficient_quota"}}, "HTTP 429: quota", "payment"),
        (500, {"error": "it broke"}, "HTTP 500: it broke", ""),
        (500, "it broke", "HTTP 500: it broke", ""),
        (500, [], "HTTP 500", ""),
        (503, {"error": None}, "HTTP 503", ""),
    ],
)
def test_what_a_status_of_http_is(status: int, body: Any, detail: str, halt: str) -> None:
    answer = failed(status, body)

    assert (answer.status, answer.detail, answer.halt) == (CaptionStatus.ERROR, detail, halt)
    assert answer.latency > 0


@pytest.mark.parametrize(
    "error",
    [
        {"message": "Your chosen model requires moderation", "code": 403},
        {"message": "no", "code": 403, "metadata": {"reasons": ["violence"], "flagged_input": "…"}},
    ],
)
def test_a_403_of_the_moderation_is_no_error_of_the_key(error: Any) -> None:
    answer = failed(403, {"error": error})

    assert (answer.status, answer.halt) == (CaptionStatus.FILTERED, "")


def test_any_other_exception_is_an_error() -> None:
    answer = read_failure(chat(), QUESTION, openai.OpenAIError(f"odd\n{KEY}"), key=KEY)

    assert (answer.status, answer.detail) == (CaptionStatus.ERROR, "OpenAIError: odd ***")
    assert (answer.id, answer.input_version) == (7, "crop:1")


def test_a_detail_is_one_line_of_at_most_500_characters() -> None:
    long = complained({"message": "a\r\nb\t\x1b[31m" + "c " * 5000})
    refusal = read(completion("I'm sorry, but " + "no " * 1000))

    assert long.detail.startswith("error: a b [31mc c c")
    for answer in (long, refusal):
        assert len(answer.detail) == 500
        assert answer.detail.isprintable()
        assert answer.detail.endswith("…")
    assert len(refusal.text) > 500


def test_a_text_keeps_what_text_can_have() -> None:
    answer = read(completion("A \ud83d\udc15 and\0 half a \ud83d dog,\nin two lines. "))

    assert answer.text == "A 🐕 and half a  dog,\nin two lines."
    assert answer.text.encode().decode() == answer.text


def test_a_provider_and_a_finish_reason_are_short_words() -> None:
    answer = read(completion(provider="p" * 1000, finish_reason="f" * 1000))

    assert (len(answer.provider), len(answer.finish_reason)) == (100, 100)
    assert read(completion(provider={"name": "x"})).provider == ""


@pytest.mark.parametrize(
    "said",
    [
        completion(f"A dog with {KEY}."),
        completion(f"A dog with {KEY}.", finish_reason="length"),
        completion(f"I can't help with {KEY}."),
        completion(None, message={"refusal": f"Bearer {KEY}"}),
        completion(finish_reason=KEY),
        completion(provider=KEY),
        completion(f"A dog with {KEY[:5]}\0{KEY[5:]}."),
        {"error": {"message": f"Authorization: Bearer {KEY}", "code": 500}},
        {"error": {"message": "x" * 485 + KEY}},
        {"error": {"message": {KEY: [KEY]}}},
        {"error": f"Bearer {KEY}"},
        {"error": {"message": "m", "metadata": {"raw": f'{{"key": "{KEY}"}}'}}},
        f"{KEY} is not JSON".encode(),
        ("x" * 190 + KEY).encode(),
        json.dumps(completion(KEY)).replace("sk-", "\\u0073k-").encode(),
    ],
)
def test_the_key_is_in_no_answer(said: Any) -> None:
    answer = read(said)

    told = " ".join(str(value) for value in astuple(answer))
    assert not [KEY[:length] for length in range(8, len(KEY) + 1) if KEY[:length] in told]
    assert "***" in told or "…" in told


def test_a_key_that_stands_for_none_blots_nothing_out() -> None:
    assert read(completion("An EMPTY box."), key="EMPTY").text == "An EMPTY box."
    assert read(completion("A dog."), key="").text == "A dog."


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(KEY),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text() | st.just(KEY), values, max_size=3),
    max_leaves=8,
)
SHAPES = st.fixed_dictionaries(
    {},
    optional={
        "error": JSON | st.fixed_dictionaries({}, optional=dict.fromkeys(("code", "message", "metadata"), JSON)),
        "provider": JSON,
        "usage": JSON | st.fixed_dictionaries({}, optional=dict.fromkeys(("prompt_tokens", "cost", "is_byok"), JSON)),
        "choices": JSON
        | st.lists(
            st.fixed_dictionaries(
                {},
                optional={
                    "finish_reason": JSON | st.sampled_from(["stop", "length", "content_filter"]),
                    "message": JSON | st.fixed_dictionaries({}, optional={"content": JSON, "refusal": JSON}),
                },
            ),
            max_size=2,
        ),
    },
)


@given(said=SHAPES | JSON)
def test_whatever_comes_there_is_an_answer_that_can_be_stored(said: Any) -> None:
    answer = read(said)

    assert answer.status is not CaptionStatus.MISSING
    assert (answer.text != "") >= (answer.status is CaptionStatus.OK)
    assert (answer.detail == "") is (answer.status is CaptionStatus.OK)
    assert len(answer.detail) <= 500
    assert 0 <= answer.prompt_tokens < 2**63
    assert 0 <= answer.completion_tokens < 2**63
    assert 0 <= answer.cost < float("inf")
    for text in (answer.text, answer.detail, answer.finish_reason, answer.provider):
        assert "\0" not in text
        assert text.encode().decode() == text
        assert KEY not in text


@given(body=st.binary(max_size=200))
def test_whatever_bytes_come_there_is_an_answer(body: bytes) -> None:
    assert read(body).status is CaptionStatus.ERROR
