"""What a chat completions server sent, as an answer about one image. Nothing of it is trusted: neither form nor types.

Whatever comes, an answer is returned, and the key is in none of its texts. Whether it stops the asking is only noted
here (`halt`); caller.py acts on it.
"""

import json
import math
import re
from dataclasses import dataclass, replace
from typing import Any, Literal

from dataset_assets.captions.chat.phrases import classify
from dataset_assets.captions.chat.request import Question
from dataset_assets.catalog.captions import CaptionStatus
from dataset_assets.settings import ChatSettings
from dataset_assets.sources.base import LARGEST_SIDECAR

Halt = Literal["", "unauthorized", "payment", "model"]

_READ = 1 << 20  # bytes of a body that is no JSON
_DETAIL = 500  # characters of a detail
_WORD = 100  # characters of a provider or finish reason
_LARGEST_COUNT = 1e9  # tokens, and USD: what no server means
_SHORTEST_KEY = 8  # characters: what is shorter is a stand-in ("x", "EMPTY") and a word of captions

_HALTS: dict[int, Halt] = {401: "unauthorized", 402: "payment", 404: "model"}
_CODES = {  # what servers call what has an HTTP status of its own, which they do not always send
    "invalid_api_key": 401,
    "insufficient_quota": 402,
    "billing_hard_limit_reached": 402,
    "billing_not_active": 402,
    "model_not_found": 404,
}
_BUSY = (408, 409, 429)  # HTTP's codes that are no fault of the request
_MODERATED = ("content_filter", "content_policy_violation", "moderation_blocked")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufeff]")  # no tab, no line break
_CUT_OFF = (CaptionStatus.REFUSED, CaptionStatus.UNAVAILABLE)  # what a text is even when its end is missing


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What became of one question."""

    id: int  # of the image, its row in the catalog
    input_version: str  # the question's
    status: CaptionStatus
    text: str = ""
    detail: str = ""  # why it is not ok, one line
    finish_reason: str = ""
    provider: str = ""  # who served it
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0  # USD
    priced: bool = False  # whether the cost is known: said by the server, or worked out from the variant's prices
    latency: float = 0  # seconds the server took for the attempt that it answered; 0 where there was none
    halt: Halt = ""  # why the next question would fare no better
    unanswered: bool = False  # nobody answered, whatever the image: a server that is down, or too busy


@dataclass(frozen=True, slots=True, kw_only=True)
class _Verdict:
    """The part of an answer that says what it is."""

    status: CaptionStatus
    text: str = ""
    detail: str = ""
    finish_reason: str = ""
    halt: Halt = ""
    unanswered: bool = False


def read_answer(variant: ChatSettings, question: Question, body: bytes, *, key: str, latency: float) -> Answer:
    """Return what the body of a 200 says.

    Only finish_reason "stop" makes a caption. Without one (null, "") nobody says that the text is whole: an ERROR that
    keeps the text. `key` is blotted out.
    """
    try:
        said = _clean(json.loads(body), key)
    except (ValueError, RecursionError):
        beginning = _line(_clean(body[:_READ].decode("utf-8", "replace"), key)[:2000], 200)
        fault = f"the answer is not JSON: {beginning}" if beginning else "the answer is empty"
        return _answer(question, _fault(fault), latency)
    verdict = _judge(variant, said)
    top = said if isinstance(said, dict) else {}
    usage = top.get("usage")
    prompt_tokens, completion_tokens, cost = _read_usage(variant, usage if isinstance(usage, dict) else {})
    return Answer(
        id=question.id,
        input_version=question.input_version,
        status=verdict.status,
        text=verdict.text,
        detail=verdict.detail,
        finish_reason=verdict.finish_reason,
        provider=_word(top.get("provider")),
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        cost=cost or 0,
        priced=cost is not None,
        latency=latency,
        halt=verdict.halt,
        unanswered=verdict.unanswered,
    )


def read_failure(variant: ChatSettings, question: Question, error: Exception, *, key: str) -> Answer:
    """Return what an exception of the SDK says, after its retries. `key` is blotted out."""
    from openai import APIConnectionError, APIStatusError, APITimeoutError  # half a second, where nothing is asked

    match error:
        case APIStatusError():
            try:
                verdict = _complain(_clean(error.body, key), status=error.status_code)
            except RecursionError:
                verdict = _complain({"message": "the error is nested too deeply"}, status=error.status_code)
            return _answer(question, verdict, error.response.elapsed.total_seconds())
        case APITimeoutError():
            fault = f"no answer within timeout_seconds = {variant.timeout_seconds:g}"
        case APIConnectionError():
            cause = error.__cause__ or error
            fault = f"the connection to {variant.url} failed: {str(cause) or type(cause).__name__}"
        case _:
            fault = f"{type(error).__name__}: {error}"
    return _answer(question, replace(_fault(_clean(fault, key)), unanswered=True))


def refuse(question: Question, detail: str) -> Answer:
    """Return the answer to a question that cannot be asked."""
    return _answer(question, _fault(detail))


def _answer(question: Question, verdict: _Verdict, latency: float = 0) -> Answer:
    """Return an answer that nobody says the cost of."""
    return Answer(
        id=question.id,
        input_version=question.input_version,
        status=verdict.status,
        detail=verdict.detail,
        latency=latency,
        halt=verdict.halt,
        unanswered=verdict.unanswered,
    )


def _fault(detail: str, text: str = "", finish_reason: str = "") -> _Verdict:
    return _Verdict(status=CaptionStatus.ERROR, text=text, detail=_line(detail, _DETAIL), finish_reason=finish_reason)


def _judge(variant: ChatSettings, said: Any) -> _Verdict:
    """Return what a decoded body is."""
    if not isinstance(said, dict):
        return _fault(f"the answer is {_kind(said)}, not an object")
    if said.get("error"):
        return _complain(said["error"])
    choices = said.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, dict):
        return _fault("the answer has no choices")
    if choice.get("error"):
        return _complain(choice["error"])
    message = choice.get("message")
    if not isinstance(message, dict):
        return _fault("the answer has no message")
    content = message.get("content")
    if content is not None and not isinstance(content, str):
        return _fault(f"the message's content is {_kind(content)}, not text")
    text = (content or "").strip()
    if len(text.encode()) > LARGEST_SIDECAR:
        return _fault(f"the text has more than {LARGEST_SIDECAR:,} bytes, which no caption has")
    return _judge_text(variant, choice, text, _line(message.get("refusal"), _DETAIL))


def _judge_text(variant: ChatSettings, choice: dict[str, Any], text: str, refusal: str) -> _Verdict:
    """Return what a message is by why it ended, by the field that refusals have, and by its words."""
    finish_reason = _word(choice.get("finish_reason"))
    status, detail = CaptionStatus.ERROR, f'finish_reason is "{finish_reason}", not "stop"'
    match finish_reason:
        case "stop" if refusal:
            status, detail = CaptionStatus.REFUSED, refusal
        case "stop":
            status = classify(text)
            detail = "" if status is CaptionStatus.OK else _line(text, _DETAIL) or "there is no text"
        case "length":
            said = classify(text)
            status = said if said in _CUT_OFF else CaptionStatus.TRUNCATED
            detail = f"cut off at max_tokens = {variant.max_tokens}" + ("" if text else ", before any text")
        case "content_filter":
            status = CaptionStatus.FILTERED
            native = _word(choice.get("native_finish_reason"))
            detail = "stopped by the content filter" + (f": {native}" if native else "")
        case "":
            detail = "no finish_reason: nobody says that the text is whole"
    return _Verdict(status=status, text=text, detail=detail, finish_reason=finish_reason)


def _complain(error: Any, *, status: int = 0) -> _Verdict:
    """Return what an error object is; `status` is HTTP's, 0 for an object in a 200."""
    fields: dict[str, Any] = error if isinstance(error, dict) else {"message": error}
    metadata = fields.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    message = fields.get("message") or fields.get("detail") or (fields if error else "")
    text = message if isinstance(message, str) else json.dumps(message)
    words = (fields.get("code"), fields.get("type"))
    named = next((_CODES[word] for word in words if isinstance(word, str) and word in _CODES), 0)
    if status and "not a valid model" in text:  # what OpenRouter says with a 400
        named = 404
    code = named or status or _number(fields.get("code"))
    detail = (f"HTTP {status}" if status else f"error {code}" if code else "error") + (f": {text}" if text else "")
    if isinstance(metadata.get("raw"), str):  # what the provider behind OpenRouter said
        detail += f": {metadata['raw']}"
    flagged = "reasons" in metadata or "flagged_input" in metadata or any(word in _MODERATED for word in words)
    if flagged or (code == 403 and any(word in text.lower() for word in ("moderation", "flagged"))):
        return _Verdict(status=CaptionStatus.FILTERED, detail=_line(detail, _DETAIL))
    # A 404 within a 200 is some provider's; the model itself was found.
    halt = "" if code == 404 and not status else _HALTS.get(code, "")
    unanswered = code in _BUSY or code >= 500
    return _Verdict(status=CaptionStatus.ERROR, detail=_line(detail, _DETAIL), halt=halt, unanswered=unanswered)


def _read_usage(variant: ChatSettings, usage: dict[str, Any]) -> tuple[int, int, float | None]:
    """Return tokens of the prompt, tokens of the completion, and the cost, USD, None where nobody says it."""
    prompt, completion = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    cost = _amount(usage.get("cost"))
    if cost is not None:
        details = usage.get("cost_details")
        if usage.get("is_byok") is True and isinstance(details, dict):  # own key: the cost is OpenRouter's fee alone
            cost += _amount(details.get("upstream_inference_cost")) or 0
    elif (prompt or completion) and (variant.prices.input or variant.prices.output):
        cost = (prompt * variant.prices.input + completion * variant.prices.output) / 1e6
    return prompt, completion, cost


def _count(value: Any) -> int:
    """Return a number of tokens, 0 for what is none."""
    amount = _amount(value)
    return int(amount) if amount is not None else 0


def _amount(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        amount = float(value)
    except OverflowError:
        return None
    return amount if math.isfinite(amount) and 0 <= amount < _LARGEST_COUNT else None


def _number(code: Any) -> int:
    """Return an error's code where it is one of HTTP's, as a number or as text; else 0."""
    text = str(code) if isinstance(code, int | str) else ""
    return int(text) if len(text) == 3 and text.isascii() and text.isdigit() else 0


def _kind(value: Any) -> str:
    """Return what JSON calls a value that is no object, or no text."""
    names = {str: "text", list: "a list", dict: "an object", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def _word(value: Any) -> str:
    return _line(value, _WORD)


def _line(value: Any, most: int) -> str:
    """Return a text in one line of at most `most` characters, "" for what is no text."""
    if not isinstance(value, str):
        return ""
    line = " ".join("".join(character if character.isprintable() else " " for character in value).split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def _clean(value: Any, key: str) -> Any:
    """Return a decoded body without the key, and without what no text has: control characters, half surrogates."""
    match value:
        case str():
            text = _CONTROLS.sub("", value).encode("utf-8", "ignore").decode()
            return text.replace(key, "***") if len(key) >= _SHORTEST_KEY else text
        case list():
            return [_clean(one, key) for one in value]
        case dict():
            return {_clean(name, key): _clean(one, key) for name, one in value.items()}
        case _:
            return value
