"""What else people use: img2dataset, and a script of a page with Pillow and webdataset. Each prints JSON at its end.

    PEERS/bin/python benchmarks/peers.py img2dataset LIST.parquet OUT center_crop
    PEERS/bin/python benchmarks/peers.py webdataset FOLDER OUT

Both make 512 pixels of the shorter side, quality 95, in shards of 1,000, with 2 processes. img2dataset is given what it
takes: file:// URLs, and threads that read ahead. It does not turn what EXIF says is turned. They have an environment of
their own, without torch, which webdataset would import where it finds it; nothing of dataset-assets is imported.
"""

import json
import multiprocessing
import sys
from io import BytesIO
from pathlib import Path

PROCESSES, THREADS = 2, 16  # threads of each process; they only read
SIDE, QUALITY, SHARD = 512, 95, 1_000


def run_img2dataset(urls: str, out: str, resize_mode: str) -> int:
    """Return how many images img2dataset says it made."""
    from img2dataset import download

    download(
        url_list=urls,
        input_format="parquet",
        url_col="url",
        caption_col="caption",
        output_folder=out,
        output_format="webdataset",
        image_size=SIDE,
        resize_mode=resize_mode,
        encode_format="jpg",
        encode_quality=QUALITY,
        processes_count=PROCESSES,
        thread_count=THREADS,
        number_sample_per_shard=SHARD,
        enable_wandb=False,
    )
    return sum(json.loads(path.read_text())["successes"] for path in Path(out).glob("*_stats.json"))


def run_webdataset(folder: str, out: str) -> int:
    """Return how many images a plain script made."""
    paths = sorted(Path(folder).rglob("*.jpg"))
    Path(out).mkdir(parents=True)
    with multiprocessing.get_context("fork").Pool(PROCESSES) as pool:
        parts = [(paths[number::PROCESSES], f"{out}/{number}-%05d.tar") for number in range(PROCESSES)]
        return sum(pool.starmap(write_part, parts))


def write_part(paths: list[Path], pattern: str) -> int:
    """Write the samples of some images and return how many there were."""
    import webdataset

    with webdataset.ShardWriter(pattern, maxcount=SHARD, verbose=0) as writer:
        for path in paths:
            caption = path.with_suffix(".txt").read_text()
            key = f"{path.parent.parent.name}{path.stem}"
            writer.write({"__key__": key, "jpg": make_jpeg(path), "txt": caption, "json": {"source": str(path)}})
    return len(paths)


def make_jpeg(path: Path) -> bytes:
    """Return the middle of an image, a square, as a JPEG."""
    from PIL import Image, ImageOps

    with Image.open(path) as file:
        image = ImageOps.exif_transpose(file).convert("RGB")
    scale = SIDE / min(image.size)
    width, height = (round(side * scale) for side in image.size)
    left, top = (width - SIDE) // 2, (height - SIDE) // 2
    resized = image.resize((width, height), Image.Resampling.BICUBIC)
    buffer = BytesIO()
    resized.crop((left, top, left + SIDE, top + SIDE)).save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()


if __name__ == "__main__":
    made = {"img2dataset": run_img2dataset, "webdataset": run_webdataset}[sys.argv[1]](*sys.argv[2:])
    print()
    print(json.dumps({"images": made}))
