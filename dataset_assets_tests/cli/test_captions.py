import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from dataset_assets.cli import main
from dataset_assets.dataset import open_dataset
from dataset_assets.settings import load_settings
from dataset_assets_tests import commands
from dataset_assets_tests.captions.asked import say
from dataset_assets_tests.captions.captioned import write_lines
from dataset_assets_tests.commands import write_settings
from dataset_assets_tests.datasets import add_photos

VARIANTS = """\
[[captions.variants]]
name = "caption_a"
backend = "openai"
model = "test/one"
base_url = "http://127.0.0.1:9/v1"
api_key_env = "KEY_OF_A"
prices = { input = 1.0, output = 10.0 }
max_tokens = 100
image_tokens = 95
[[captions.variants]]
name = "caption_hand"
backend = "imported"
[[captions.variants]]
name = "caption_sidecar"
"""


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DAGSTER_HOME", "DATASET_CONFIG", "KEY_OF_A"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def config(built: Path) -> Path:
    """The settings file of a finished build that had no models; two images have an answer of one since."""
    path = write_settings(built)
    path.write_text(path.read_text() + VARIANTS)
    with opened(path) as dataset:
        say(dataset, "caption_a", {"000.jpg": "Ein Hügel in der Sonne."}, cost=0.5)
        say(dataset, "caption_a", {"001.jpg": "I cannot."}, status="refused", cost=0.5)
    return path


def opened(config: Path) -> Any:
    return open_dataset(load_settings(config))


def call(*arguments: object) -> Result:
    """Run `dataset-assets captions` in this process; a traceback is the test's failure."""
    result = CliRunner().invoke(main, ["captions", *map(str, arguments)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def done(*arguments: object) -> str:
    """Return what a command prints that ends well."""
    result = call(*arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout


def refused(*arguments: object, code: int = 1) -> str:
    """Return the last line of a command that ends badly."""
    result = call(*arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    return result.stderr.splitlines()[-1]


def test_help_names_every_command(config: Path) -> None:
    said = done("--help")

    for command in ("estimate", "export", "import", "retry", "show", "status"):
        assert re.search(rf"^  {command} ", said, re.MULTILINE)
        assert "--config PATH" in done(command, "--help")


def test_an_estimate_says_what_is_left_and_what_it_costs(config: Path) -> None:
    said = done("estimate", "--config", config)
    (one,) = json.loads(done("estimate", "--config", config, "--json"))

    assert "│ caption_a │     18 │" in said
    assert "caption_a: it is left out until the environment variable KEY_OF_A, which holds its key, is set" in said
    assert "in all 18 captions, about $0.0198" in said
    assert (one["variant"], one["left"]["images"], one["spent"], one["key_missing"]) == (
        "caption_a",
        18,
        1.0,
        "KEY_OF_A",
    )
    assert one["left"]["cost"] == pytest.approx(18 * (100 * 1.0 + 100 * 10.0) / 1e6)
    assert one["each"]["prompt_tokens"] == 100


def test_an_estimate_before_any_build(tmp_path: Path) -> None:
    config = write_settings(tmp_path)
    config.write_text(config.read_text() + VARIANTS)
    assert refused("estimate", "--config", config).startswith(f"error: source {tmp_path}/raw: there is no such folder")

    add_photos(tmp_path, 3)
    (one,) = json.loads(done("estimate", "--config", config, "--json"))
    assert one["left"]["images"] == 3


def test_status_says_what_there_is(config: Path) -> None:
    said = done("status", "--config", config)
    account = json.loads(done("status", "--config", config, "--json"))

    assert re.search(r"│ 2  caption_a +│ +ok 1 │", said)
    assert "caption_a: its captions of 4 partitions have not been made yet" in said
    assert [one["variant"] for one in account["variants"]] == ["caption_a", "caption_hand", "caption_sidecar"]
    first, hand, sidecar = account["variants"]
    assert first["sources"][0]["statuses"] == {"ok": 1, "refused": 1}
    assert first["spent"] == {"requests": 2, "prompt_tokens": 600, "completion_tokens": 80, "cost": 1.0}
    assert hand["sources"] == []
    assert sidecar["sources"][0]["statuses"] == {"missing": 10, "ok": 10}


def test_show_tells_what_won_and_why(config: Path) -> None:
    said = done("show", "000.jpg", "--config", config)
    shown = json.loads(done("show", config.parent / "raw" / "001.jpg", "--config", config, "--json"))

    assert "\nwhy      selector 0 (caption_a) gave it\n" in said
    assert "    Ein Hügel in der Sonne.\n" in said
    assert [one["said"]["status"] for one in shown["captions"]] == ["refused", "missing"]
    assert shown["captions"][0]["findings"][0]["finding"] == "refused"
    assert shown["why"] == (
        "no selector has a caption for it, so it is exported without one: selector 0 (caption_a) refused; selector 1 "
        "(caption_hand) has none; selector 2 (caption_sidecar) has none"
    )
    printed = done("show", "000.jpg", "--config", config, "--json")
    assert printed.isascii()  # whatever the terminal's encoding is, it can be read
    assert json.loads(printed)["captions"][0]["said"]["text"] == "Ein Hügel in der Sonne."


def test_show_of_an_unknown_image(config: Path) -> None:
    line = refused("show", "0001.jpg", "--config", config)

    assert line.startswith("error: there is no image 0001.jpg in the last scan; near: 001.jpg, ")


@pytest.mark.parametrize("name", ["captions.jsonl", "captions.parquet"])
def test_what_is_exported_comes_back(config: Path, tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    assert done("export", file, "--config", config) == f"wrote 22 captions into {file}\n"
    assert "is there already" in refused("export", file, "--config", config)
    said = done(
        "export", file, "--config", config, "--overwrite", "--variant", "caption_a", "--variant", "caption_hand"
    )
    assert said == f"wrote 2 captions into {file}\n"

    (config.parent / "out" / "dataset.sqlite").unlink()
    done("estimate", "--config", config)
    said = done("import", file, "--config", config)
    again = json.loads(done("import", file, "--config", config, "--json"))

    assert "│ imported │     2 │" in said
    assert said.endswith(f"next: dataset-assets build --config {config}\n")
    assert (again["rows"], again["imported"], again["unchanged"], again["partitions"]) == (2, 0, 2, 0)
    assert "    Ein Hügel in der Sonne.\n" in done("show", "000.jpg", "--config", config)


def test_captions_made_elsewhere_come_in_with_what_they_name(config: Path, tmp_path: Path) -> None:
    known, unknown = {"image_id": "003.jpg", "text": "A hill by hand."}, {"image_id": "nothing.jpg", "text": "x"}
    file = write_lines(tmp_path / "made.jsonl", known, unknown, "{")
    options = ["--config", config, "--variant", "caption_hand", "--model", "A. Writer"]

    dry = done("import", file, *options, "--dry-run")
    assert dry.endswith("nothing was written: this was a dry run\n")
    assert "A hill by hand." not in done("show", "003.jpg", "--config", config)

    report = json.loads(done("import", file, *options, "--json"))
    assert (report["rows"], report["imported"], report["by_variant"]) == (3, 1, {"caption_hand": 1})
    assert report["faults"] == {"unknown_image": 1, "invalid_json": 1}
    shown = json.loads(done("show", "003.jpg", "--config", config, "--json"))
    assert (shown["variant"], shown["text"]) == ("caption_hand", "A hill by hand.")
    assert (shown["captions"][0]["backend"], shown["captions"][0]["model"]) == ("imported", "A. Writer")


def test_an_import_for_no_variant_is_refused(config: Path, tmp_path: Path) -> None:
    file = write_lines(tmp_path / "made.jsonl", {"image_id": "003.jpg", "text": "A hill."})

    line = refused("import", file, "--config", config, "--variant", "caption_none")

    assert line == 'error: variant "caption_none" given; allowed: caption_a, caption_hand, caption_sidecar'


def test_a_retry_lets_the_model_be_asked_again(config: Path) -> None:
    statuses = ["--status", "refused", "--status", "error"]
    before = json.loads(done("estimate", "--config", config, "--json"))[0]["left"]["images"]

    said = done("retry", "caption_a", "--config", config, *statuses)

    after = json.loads(done("estimate", "--config", config, "--json"))[0]["left"]["images"]
    assert said == f"images that caption_a is asked about again: 1\nnext: dataset-assets build --config {config}\n"
    assert (before, after) == (18, 19)
    assert json.loads(done("retry", "caption_a", "--config", config, "--status", "error", "--json")) == {
        "variant": "caption_a", "statuses": ["error"], "images": 0,
    }  # fmt: skip


def test_a_retry_of_nothing_names_no_next_step(config: Path) -> None:
    assert done("retry", "caption_a", "--config", config, "--status", "empty") == (
        "images that caption_a is asked about again: 0\n"
    )


@pytest.mark.parametrize("status", ["ok", "missing", "gone"])
def test_a_status_that_is_not_tried_again_is_a_wrong_call(config: Path, status: str) -> None:
    line = refused("retry", "caption_a", "--config", config, "--status", status, code=2)

    assert line.startswith(f"Error: Invalid value for '--status': '{status}' is not one of empty, truncated, refused, ")


def test_a_retry_needs_a_status_and_a_model(config: Path) -> None:
    assert refused("retry", "caption_a", "--config", config, code=2) == "Error: Missing option '--status'."
    line = refused("retry", "caption_hand", "--config", config, "--status", "error")
    assert line == 'error: "caption_hand" given; allowed are the variants that a model makes: caption_a'


def test_the_config_may_be_named_by_the_environment(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATASET_CONFIG", str(config))

    assert done("retry", "caption_a", "--status", "refused").endswith("\nnext: dataset-assets build\n")


def test_without_settings_nothing_works(tmp_path: Path) -> None:
    for arguments in (["estimate"], ["status"], ["show", "a"], ["export", "a.jsonl"], ["import", "a.jsonl"]):
        line = refused(*arguments, "--config", tmp_path / "none.toml")
        assert line.startswith(f"error: {tmp_path}/none.toml: there is no such file; ")


def test_help_imports_no_library() -> None:
    heavy = ("pandas", "pyarrow", "sqlalchemy", "rich", "torch", "openai", "dagster")
    program = (
        "import sys\nfrom dataset_assets.cli import main\n"
        "try:\n    main(['captions', '--help'])\nexcept SystemExit: pass\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )

    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout

    assert printed.splitlines()[-1] == "[]"


def test_the_commands_as_a_person_runs_them(config: Path) -> None:
    ended = commands.run(config.parent, "captions", "show", "001.jpg")

    assert (ended.returncode, ended.stderr) == (0, "")
    assert "why      no selector has a caption for it" in ended.stdout
