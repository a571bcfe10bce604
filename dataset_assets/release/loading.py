"""The last section of the dataset card: code that reads the export, and runs as it is printed."""

from collections.abc import Mapping
from typing import Any

from dataset_assets.storage.layout import EXPORT_SAMPLES

_WHOLE = r'''## Efficient loading

- Read a tar from its start to its end: that is what disks and networks are fast at.
- Shuffle the order of the shards, then the samples in a buffer: nothing has to be read at random.
- `manifest.json` lists every bucket and shard, with the sample count and sha256 of each shard.

The snippets run as they are printed, with this repository as the current directory.
`datasets.load_dataset` reads it as well: the `configs` entry of this card names the shards.

### Python (`webdataset`)

```python
from glob import glob

import webdataset as wds  # pip install webdataset pillow

shards = sorted(glob("buckets/*/shard-*.tar"))  # put a bucket id for the first * to read that bucket only
dataset = (
    wds.WebDataset(shards, shardshuffle=len(shards))
    .shuffle(1000)
    .decode("pil")  # .jpg becomes a PIL image, .txt a str, .json a dict
    .to_tuple("jpg", "txt", "json")
)
for image, caption, meta in dataset:
    print(meta["bucket_id"], image.size, caption.removesuffix("\n"))
    break
```

### Python (`tarfile`, nothing to install)

```python
import json
import tarfile
from pathlib import Path


def read_shard(path):
    """Yield (JPEG bytes, caption, metadata) of every sample, in one pass over the file."""
    with tarfile.open(path, "r|") as tar:
        sample = {}
        for member in tar:
            extension = member.name.rpartition(".")[2]
            sample[extension] = tar.extractfile(member).read()
            if extension == "json":  # a sample is its .jpg, .txt and .json, in this order
                caption = sample["txt"].decode().removesuffix("\n")
                yield sample["jpg"], caption, json.loads(sample["json"])


shard = min(Path("buckets").glob("*/shard-*.tar"))
for jpeg, caption, meta in read_shard(shard):
    print(meta["bucket_id"], len(jpeg), "bytes", caption)
```
'''

_SOME = r"""
### Python (`pandas`: some of the samples)

`samples.parquet` says which samples there are and where each lies, so that nothing else of a tar has to be read.

```python
import io

import pandas as pd  # pip install pandas pyarrow pillow
from PIL import Image

samples = pd.read_parquet("samples.parquet", filters=[("bucket_id", "==", "{bucket_id}")])
for row in samples.nlargest(3, "src_w").itertuples():  # those of the widest sources
    with open(row.shard, "rb") as tar:
        tar.seek(row.jpg_offset)
        image = Image.open(io.BytesIO(tar.read(row.jpg_size)))
    print(row.bucket_id, image.size, row.caption)
```
"""


def render_loading(manifest: Mapping[str, Any]) -> str:
    """Return the section as Markdown; what reads samples.parquet is in it where the manifest lists that."""
    listed = {file["path"] for file in manifest.get("files", ())}
    if EXPORT_SAMPLES not in listed or not manifest["buckets"]:
        return _WHOLE
    buckets: Mapping[str, Any] = manifest["buckets"]
    largest = max(buckets, key=lambda bucket_id: (buckets[bucket_id]["count"], bucket_id))
    return _WHOLE + _SOME.replace("{bucket_id}", largest)
