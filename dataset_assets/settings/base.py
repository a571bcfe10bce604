"""What the models of the settings file have in common. No key of the file is here."""

import json
import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict

_NAME = re.compile(r"[a-z][a-z0-9_]*")


class Model(BaseModel):
    """A table of the file: nothing but its keys, each of just its type, and never changed."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def is_name(text: object) -> bool:
    """Return whether a variant can have this name."""
    return isinstance(text, str) and bool(_NAME.fullmatch(text))


def _variant_name(name: str) -> str:
    if not is_name(name):
        raise ValueError("lower-case letters, digits and _, starting with a letter")
    return name


VariantName = Annotated[str, AfterValidator(_variant_name)]


def show(value: Any) -> str:
    """Return a value from the file about as it was written there."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, tuple):
        return "[" + ", ".join(show(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {show(item)}" for key, item in value.items()) + "}"
    return str(value).lower() if isinstance(value, bool) else str(value)
