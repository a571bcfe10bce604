import json
import tarfile
from pathlib import Path

import pytest

from dataset_assets.errors import StorageError
from dataset_assets.trainer.output.merged import ARCHIVE, CAPTIONS, Form, compress
from dataset_assets.trainer.output.outputs import Outputs


@pytest.mark.parametrize("length", [0, 1, 509, 510, 511, 512, 8_700, 9_214, 10_240])
def test_an_archive_is_a_tar_that_tarfile_could_have_written(tmp_path: Path, length: int) -> None:
    form = Form()
    outputs = Outputs(tmp_path, form)
    starts = outputs.begin()
    body = b"x" * length
    for name, data in ((CAPTIONS, body), (ARCHIVE, compress(body))):
        with outputs.paths[form.find(name)].open("ab") as file:
            file.write(data)
    files = outputs.finish([start + length for start in starts])
    assert files[CAPTIONS].read_bytes() == b"{" + body + b"}"
    with tarfile.open(files[ARCHIVE]) as tar:
        assert [(one.name, one.size, one.mtime, one.mode) for one in tar] == [(CAPTIONS, length + 2, 0, 0o644)]
        content = tar.extractfile(CAPTIONS)
        assert content is not None
        assert content.read() == b"{" + body + b"}"
    assert json.loads(files["missing.json"].read_bytes()) == {"tags": [], "caption": [], "latent": []}
    outputs.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"cannot write .*No such file"):
        Outputs(tmp_path / "gone", Form()).begin()
