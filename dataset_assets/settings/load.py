"""Reads dataset.toml. An error names the key as it is written there, what was given, and what is allowed."""

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel, Tag, ValidationError

from dataset_assets.errors import SettingsError
from dataset_assets.settings.base import show
from dataset_assets.settings.models import Settings

CONFIG_VARIABLE = "DATASET_CONFIG"
DEFAULT_CONFIG = "dataset.toml"
_SECRETIVE = frozenset(("base_url", "api_key_env", "catalog"))  # there are keys in them: what was given is not shown
_LARGEST_PROMPT = 1 << 20  # bytes


def find_config(config: str | Path | None = None) -> Path:
    """Return the settings file: the one given, else $DATASET_CONFIG, else ./dataset.toml."""
    return Path(config or os.environ.get(CONFIG_VARIABLE) or DEFAULT_CONFIG)


def load_settings(config: str | Path | None = None) -> Settings:
    """Read the settings file. Raises SettingsError, with one line a mistake."""
    path = find_config(config)
    try:
        with path.open("rb") as file:
            data = tomllib.load(file)
    except FileNotFoundError:
        raise SettingsError(
            f"{path}: there is no such file; `dataset-assets init DIR --source PATH` writes one, "
            f"--config or {CONFIG_VARIABLE} names another"
        ) from None
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: is not UTF-8: {error.reason} at byte {error.start}") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: {error}") from None
    return parse_settings(data, folder=path.parent, name=str(path))


def parse_settings(data: Mapping[str, Any], *, folder: Path, name: str = DEFAULT_CONFIG) -> Settings:
    """Return `data`, the parsed file, as Settings; `folder` is what its relative paths are relative to."""
    if "folder" in data:
        raise SettingsError(f"{name}: folder: there is no such key; allowed: {_keys_of(Settings)}")
    read = _tuples(data) | {"folder": folder.absolute()}
    if faults := list(_read_prompts(read, folder.absolute())):
        raise SettingsError(*(f"{name}: {fault}" for fault in faults))
    try:
        return Settings.model_validate(read)
    except ValidationError as error:
        lines = [f"{name}: {_line(dict(fault))}" for fault in error.errors() if not _follows(dict(fault))]
        raise SettingsError(*lines) from None


def _tuples(value: Any) -> Any:
    """Return TOML's lists as tuples, which is what strict frozen models take."""
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def _read_prompts(data: dict[str, Any], folder: Path) -> Iterator[str]:
    """Put the text of every prompt that is in a file of its own into `data`; yield what is wrong, a line each."""
    captions = data.get("captions")
    variants = captions.get("variants") if isinstance(captions, dict) else None
    for index, variant in enumerate(variants if isinstance(variants, tuple) else ()):
        for prompt in ("system_prompt", "user_prompt"):
            file = variant.get(f"{prompt}_file") if isinstance(variant, dict) else None
            if not file or not isinstance(file, str):
                continue
            where = f"captions.variants.{index}.{prompt}_file"
            if prompt in variant:
                yield f"{where}: {show(file)} given, and {prompt}, too; allowed: one of the two"
                continue
            try:
                with (folder / Path(file).expanduser()).open("rb") as opened:
                    read = opened.read(_LARGEST_PROMPT + 1)
                text = read.decode("utf-8-sig")
            except (OSError, RuntimeError, ValueError) as error:
                reason = error.strerror if isinstance(error, OSError) else "not UTF-8, or no path"
                yield f"{where}: {show(file)} given, which cannot be read: {reason}"
                continue
            if len(read) > _LARGEST_PROMPT:
                yield f"{where}: {show(file)} given; allowed: a file of at most {_LARGEST_PROMPT:,} bytes"
            variant[prompt] = text.strip()


def _follows(fault: dict[str, Any]) -> bool:
    """Return whether a fault only follows from another: of a list, pydantic counts the items that are right."""
    return fault["type"] == "too_short" and bool(fault["input"])


def _line(fault: dict[str, Any]) -> str:
    """Return one validation fault as `key: what was given; what is allowed`."""
    (parts, model), given = _walk(fault["loc"]), fault["input"]
    where = ".".join(parts)
    match fault["type"]:
        case "extra_forbidden":
            return f"{where}: there is no such key; allowed: {_keys_of(model)}"
        case "missing":
            return f"{where}: is missing"
        case "value_error" if isinstance(given, dict | BaseModel):
            return ".".join((*filter(None, [where]), str(fault["ctx"]["error"])))
        case "value_error" if parts[-1:] and parts[-1] in _SECRETIVE:
            return f"{where}: allowed: {fault['ctx']['error']}"
        case _ if _SECRETIVE.intersection(parts):
            return f"{where}: allowed: a text"
        case "free_table":
            return f"{where}: {show(given)} given; allowed: {fault['msg']}"
        case "value_error":
            return f"{where}: {show(given)} given; allowed: {fault['ctx']['error']}"
        case "backend" | "kind" as key if isinstance(given, dict):
            return f"{where}.{key}: {show(given.get(key))} given; {fault['msg']}"
        case "backend" | "kind" | "model_type":
            return f"{where}: {show(given)} given; allowed: a table"
        case "tuple_type":
            tables = f" of tables, each under [[{where}]]" if isinstance(given, dict) else ""
            return f"{where}: {show(given)} given; allowed: a list{tables}"
        case _:
            rule = re.sub(r"^(Input|Tuple|String) should | after validation, not \d+$", "", fault["msg"])
            return f"{where}: {show(given)} given; should {rule}"


def _walk(where: tuple[int | str, ...]) -> tuple[list[str], type[BaseModel]]:
    """Return the keys as they are in the file, without the names of kinds of tables, and the last model on the way."""
    annotation: Any = Settings
    model: type[BaseModel] = Settings
    shown = []
    for part in where:
        kinds = _kinds_of(annotation)
        if isinstance(part, str) and part in kinds:
            annotation = kinds[part]
        else:
            shown.append(str(part))
            if isinstance(part, int):
                annotation = next((item for item in get_args(annotation) if item is not Ellipsis), None)
            elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
                field = annotation.model_fields.get(part)
                annotation = _without_none(field.annotation) if field else None
        model = annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else model
    return shown, model


def _without_none(annotation: Any) -> Any:
    """Return the type of a table that may be left out, else the annotation as it is."""
    members = [member for member in get_args(annotation) if member is not NoneType]
    return members[0] if isinstance(annotation, UnionType) and len(members) == 1 else annotation


def _kinds_of(annotation: Any) -> dict[str, Any]:
    """Return the models that a table can be, by the name of its kind; {} where there is only one."""
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    kinds: dict[str, Any] = {}
    for member in get_args(annotation):
        tags = [one.tag for one in get_args(member)[1:] if isinstance(one, Tag)]
        kinds |= {tag: get_args(member)[0] for tag in tags}
    return kinds


def _keys_of(model: type[BaseModel]) -> str:
    return ", ".join(name for name, field in model.model_fields.items() if not field.exclude)
