import gc
import subprocess
import sys
from pathlib import Path

import pytest

from dataset_assets.cli.imports import kept_imports


def test_what_was_imported_is_not_looked_at_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "never_imported_before.py").write_text("things = [[] for _ in range(1_000)]\n")
    monkeypatch.syspath_prepend(tmp_path)

    with kept_imports():
        import never_imported_before  # type: ignore[import-not-found]

        assert not gc.isenabled()

    kept = {id(one) for one in gc.get_objects()}
    assert gc.isenabled()
    assert gc.get_freeze_count() > 1_000
    assert kept.isdisjoint(map(id, never_imported_before.things))


def test_where_nothing_was_imported_nothing_is_kept() -> None:
    with kept_imports():
        import json  # noqa: F401 - it is there already

    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def test_an_import_that_fails_leaves_the_search_on() -> None:
    with pytest.raises(ModuleNotFoundError), kept_imports():
        import there_is_no_such_module  # type: ignore[import-not-found]  # noqa: F401

    assert gc.isenabled()


def test_who_searches_by_hand_goes_on_to() -> None:
    gc.disable()
    try:
        with kept_imports():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_a_build_keeps_what_it_imports(tmp_path: Path) -> None:
    config = tmp_path / "dataset.toml"
    config.write_text('[[sources]]\npath = "nowhere"\n')
    code = (
        "import gc, sys; from dataset_assets.cli import main\n"
        f"main(['build', '--config', {str(config)!r}], standalone_mode=False)\n"
        "print(gc.isenabled(), gc.get_freeze_count() > 100_000)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.stdout.split() == ["True", "True"]
