"""A question about one image, as the request that a chat completions server understands. Nothing is sent here."""

import base64
import json
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from dataset_assets.images.decode import decode
from dataset_assets.images.encode import encode
from dataset_assets.images.probe import open_image
from dataset_assets.settings import ChatSettings, ImageSettings

if TYPE_CHECKING:  # the SDK takes half a second to import
    from openai.types.chat import ChatCompletionContentPartParam, ChatCompletionMessageParam
    from openai.types.chat.chat_completion_content_part_image_param import ImageURL
    from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming

_ANY = ImageSettings()  # a stored crop may be a source's own JPEG: turned by EXIF, CMYK, with a profile


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a model is asked about one image."""

    id: int  # of the image, its row in the catalog
    jpeg: bytes
    prompt: str  # the user prompt, its placeholders filled in
    input_version: str  # handed through to the answer


def make_request(variant: ChatSettings, question: Question) -> dict[str, Any]:
    """Return the keyword arguments of the SDK's `chat.completions.create`, the image encoded in them.

    Keys of `extra_body` win over what the settings say; an answer is never streamed. Raises SampleError where the image
    is to be made smaller and cannot be decoded.
    """
    extra: dict[str, Any] = json.loads(variant.extra_body)
    body: CompletionCreateParamsNonStreaming = {"model": variant.model, "messages": _write_messages(variant, question)}
    if "max_completion_tokens" not in extra:  # the newer name, beside which OpenAI's own models refuse the older
        body["max_tokens"] = variant.max_tokens
    if variant.temperature is not None:
        body["temperature"] = variant.temperature
    provider = json.loads(variant.provider)
    ours = {"provider": provider} if provider else {}
    if variant.backend == "openrouter":
        ours["usage"] = {"include": True}  # what it cost; without it older accounts are not told
    streaming = ("stream", "stream_options")  # its pieces could not be read
    beside = {**ours, **{name: value for name, value in extra.items() if name not in streaming}}
    return {**body, "extra_body": beside} if beside else {**body}


def _write_messages(variant: ChatSettings, question: Question) -> "list[ChatCompletionMessageParam]":
    image: ImageURL = {"url": f"data:image/jpeg;base64,{base64.b64encode(_shrink(variant, question.jpeg)).decode()}"}
    if variant.image_detail != "auto":
        image["detail"] = variant.image_detail
    content: list[ChatCompletionContentPartParam] = [{"type": "image_url", "image_url": image}]
    if question.prompt:
        content.insert(0, {"type": "text", "text": _sendable(question.prompt)})
    messages: list[ChatCompletionMessageParam] = [{"role": "user", "content": content}]
    if variant.system_prompt:
        messages.insert(0, {"role": "system", "content": _sendable(variant.system_prompt)})
    return messages


def _sendable(text: str) -> str:
    """Return the text without halves of surrogate pairs, which metadata may hold and UTF-8 cannot."""
    return text.encode("utf-8", "replace").decode()


def _shrink(variant: ChatSettings, jpeg: bytes) -> bytes:
    """Return the JPEG with no side over image_max_side, the same bytes where that is so already."""
    most = variant.image_max_side
    if not most or max(open_image(BytesIO(jpeg), max_pixels=_ANY.max_pixels).size) <= most:
        return jpeg
    image = Image.fromarray(decode(jpeg, _ANY))
    scale = most / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    return encode(np.asarray(image.resize((width, height), Image.Resampling.LANCZOS)), variant.image_quality, "4:2:0")
