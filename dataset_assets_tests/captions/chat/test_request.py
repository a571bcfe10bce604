import base64
from collections.abc import Iterable, Mapping
from hashlib import sha256
from io import BytesIO
from typing import Any

import pytest
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming
from PIL import Image
from pydantic import TypeAdapter, ValidationError

from dataset_assets.captions.chat.caller import ask_all
from dataset_assets.captions.chat.request import Question, make_request
from dataset_assets.errors import DropReason, SampleError
from dataset_assets.settings import ChatSettings
from dataset_assets_tests.fakes.chat_server import MODEL, ChatServer
from dataset_assets_tests.photos import jpeg

OURS = {"provider", "usage"}  # OpenRouter's keys, beside OpenAI's
PUBLISHED = TypeAdapter(CompletionCreateParamsNonStreaming)  # must outlive what it validates: that is read lazily


def chat(**settings: Any) -> ChatSettings:
    return ChatSettings(**{"name": "caption_test", "backend": "openai", "model": MODEL, "api_key_env": "", **settings})


def question(data: bytes = b"a jpeg", prompt: str = "Describe this image.") -> Question:
    return Question(id=7, jpeg=data, prompt=prompt, input_version="v")


def sent(data: bytes = b"a jpeg", prompt: str = "Describe this image.", **settings: Any) -> Any:
    """Return the body of the request, as the server received it."""
    with ChatServer() as server:
        ask_all(chat(base_url=server.url, **settings), [question(data, prompt)], lambda _: 0.0, spent=0)
        (request,) = server.requests
    return request.body


def image_sent(data: bytes, **settings: Any) -> bytes:
    """Return the image of the request, as the server received it."""
    part = sent(data, **settings)["messages"][-1]["content"][-1]
    return base64.b64decode(part["image_url"]["url"].removeprefix("data:image/jpeg;base64,"), validate=True)


def drained(value: Any) -> Any:
    """Return what was validated, as JSON has it; pydantic reads iterables only when they are used."""
    if isinstance(value, Mapping):
        return {name: drained(one) for name, one in value.items()}
    return [drained(one) for one in value] if isinstance(value, Iterable) and not isinstance(value, str) else value


def validated(body: Mapping[str, Any]) -> Any:
    """Return what the SDK's published type of a request's body keeps of it; a key that it does not know is left out."""
    return drained(PUBLISHED.validate_python(body))


def test_the_published_type_knows_a_wrong_body() -> None:
    body = sent()

    assert validated({**body, "max_token": 5}) != {**body, "max_token": 5}
    for wrong in ({"messages": 5}, {"messages": [{"role": "nobody"}]}, {"temperature": "hot"}, {"stream": True}):
        with pytest.raises(ValidationError):
            validated({**body, **wrong})


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"system_prompt": "You write captions.", "temperature": 0.2, "max_tokens": 77, "image_detail": "low"},
        {"extra_body": {"seed": 1, "top_p": 0.9, "stop": ["\n"]}},
        {"backend": "openrouter", "provider": {"order": ["a"]}},
    ],
)
def test_the_body_is_what_openai_publishes(settings: dict[str, Any]) -> None:
    standard = {name: value for name, value in sent(**settings).items() if name not in OURS}

    assert validated(standard) == standard


def test_the_plainest_body_has_no_more_than_it_needs() -> None:
    assert sent() == {
        "model": MODEL,
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Describe this image."},
                    {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,YSBqcGVn"}},
                ],
            }
        ],
        "max_tokens": 300,
    }


def test_a_system_prompt_comes_first() -> None:
    messages = sent(prompt="Écris une légende.", system_prompt="You write captions.")["messages"]

    assert messages[0] == {"role": "system", "content": "You write captions."}
    assert [message["role"] for message in messages] == ["system", "user"]
    assert messages[1]["content"][0] == {"type": "text", "text": "Écris une légende."}


def test_no_prompt_is_no_part() -> None:
    (message,) = sent(prompt="")["messages"]

    assert [part["type"] for part in message["content"]] == ["image_url"]


def test_half_a_surrogate_pair_does_not_stop_a_prompt() -> None:
    body = sent(prompt="The title is \ud83d.")

    assert body["messages"][0]["content"][0]["text"] == "The title is ?."


def test_parameters_are_sent() -> None:
    body = sent(max_tokens=77, temperature=0.0, image_detail="high")

    assert (body["max_tokens"], body["temperature"]) == (77, 0)
    assert body["messages"][0]["content"][1]["image_url"]["detail"] == "high"


def test_openrouter_is_asked_for_the_cost_and_told_the_routing() -> None:
    body = sent(backend="openrouter", provider={"order": ["google"], "allow_fallbacks": False})

    assert body["usage"] == {"include": True}
    assert body["provider"] == {"order": ["google"], "allow_fallbacks": False}


def test_extra_keys_win() -> None:
    body = sent(
        backend="openrouter", temperature=0.5, extra_body={"temperature": 1, "usage": {"include": False}, "k": 3}
    )

    assert (body["temperature"], body["usage"], body["k"]) == (1, {"include": False}, 3)


def test_max_completion_tokens_takes_the_place_of_max_tokens() -> None:
    body = sent(extra_body={"max_completion_tokens": 500})

    assert "max_tokens" not in body
    assert body["max_completion_tokens"] == 500


def test_an_answer_is_never_streamed() -> None:
    assert not {"stream", "stream_options"} & sent(extra_body={"stream": True, "stream_options": {}}).keys()


@pytest.mark.parametrize("settings", [{}, {"image_max_side": 64}, {"image_max_side": 100}])
def test_the_crop_is_sent_as_it_is_where_it_is_small_enough(settings: dict[str, Any]) -> None:
    data = jpeg(64, 48)

    assert image_sent(data, **settings) == data


def test_a_crop_need_not_be_an_image_where_it_is_not_made_smaller() -> None:
    assert sha256(image_sent(b"\0 anything")).digest() == sha256(b"\0 anything").digest()


@pytest.mark.parametrize(("size", "smaller"), [((200, 100), (50, 25)), ((100, 200), (25, 50)), ((1000, 8), (50, 1))])
def test_a_crop_is_made_smaller_in_proportion(size: tuple[int, int], smaller: tuple[int, int]) -> None:
    image = Image.open(BytesIO(image_sent(jpeg(*size), image_max_side=50)))

    assert (image.format, image.mode, image.size) == ("JPEG", "RGB", smaller)


def test_the_quality_of_what_is_made_smaller_is_the_settings() -> None:
    data = jpeg(200, 100)

    assert len(image_sent(data, image_max_side=50, image_quality=20)) < len(
        image_sent(data, image_max_side=50, image_quality=95)
    )


def test_an_image_that_cannot_be_made_smaller_says_why() -> None:
    with pytest.raises(SampleError) as caught:
        make_request(chat(image_max_side=50), question(jpeg(200, 100)[:300]))

    assert caught.value.reason is DropReason.DECODE_ERROR
