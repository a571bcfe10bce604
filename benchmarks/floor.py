"""The floor: decode, resize and encode, with both cores and nothing else. What no program with these codecs can beat.

    python benchmarks/floor.py FOLDER [--processes 2] [--check 40]

Every file is in memory, its orientation, sizes and crop box are known and the libraries have been used once before the
clock starts. Each process has a fixed part of the images, every second one. Pixels go through the buffers of the image
before: freed memory is kept, which spares the kernel's clearing of new pages.

The calls: simplejpeg.decode_jpeg into a buffer; numpy for the few that EXIF turns; torch's uint8 bicubic with
antialiasing over channels_last, in one thread; Pillow's JPEG encoder, the fastest here that gives the export's bytes.
"""

import argparse
import ctypes
import json
import multiprocessing
import time
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path

import numpy as np
from PIL import Image

from dataset_assets.buckets.choose import choose_buckets
from dataset_assets.buckets.protos import list_buckets
from dataset_assets.images.encode import choose_subsampling
from dataset_assets.images.geometry import cover_scale, cover_size, crop_box
from dataset_assets.settings import Settings

SETTINGS = Settings()
QUARTERS = {1: 0, 3: 2, 6: 3, 8: 1}  # EXIF orientation → quarter turns to the left
ORIENTATION = 0x0112
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
KEPT = 1 << 30  # bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One image, with all that is to be known before its pixels."""

    data: bytes
    image_id: str
    turns: int
    target: tuple[int, int]  # (width, height), pixels
    size: tuple[int, int]  # after the resize
    corner: tuple[int, int]  # x, y of the crop box
    subsampling: str


def load_tasks(folder: Path) -> list[Task]:
    """Read the images of a folder; a file with several names is in memory once."""
    paths = sorted(folder.rglob("*.jpg"))
    files: dict[int, bytes] = {}
    heads = []
    for path in paths:
        inode = path.stat().st_ino
        if inode not in files:
            files[inode] = path.read_bytes()
        with Image.open(BytesIO(files[inode])) as image:
            orientation = image.getexif().get(ORIENTATION, 1)
            heads.append((files[inode], orientation, image.size if orientation < 5 else image.size[::-1]))
    sizes = np.array([size for _, _, size in heads])
    buckets = list_buckets(SETTINGS.buckets)
    tasks = []
    for path, (data, orientation, source), chosen in zip(
        paths, heads, choose_buckets(sizes[:, 0], sizes[:, 1], buckets), strict=True
    ):
        target, image_id = buckets[chosen].target, path.relative_to(folder).as_posix()
        size = cover_size(source, target)
        tasks.append(
            Task(
                data=data,
                image_id=image_id,
                turns=QUARTERS[orientation],
                target=target,
                size=size,
                corner=crop_box(size, target, image_id, SETTINGS.images.crop),
                subsampling=choose_subsampling(cover_scale(source, target), SETTINGS.images),
            )
        )
    return tasks


def work(tasks: list[Task], barrier: Barrier, answer: Connection) -> None:
    """Do a part of the images; send when it began and ended, its CPU seconds, and the images and bytes it made."""
    keep_memory()
    crop = prepare()
    crop(tasks[0])
    barrier.wait()
    started, used = time.monotonic(), time.process_time()
    made = [len(crop(task)) for task in tasks]
    answer.send((started, time.monotonic(), time.process_time() - used, len(made), sum(made)))


def keep_memory() -> None:
    """Let the C library keep what is freed, so that the next image finds pages that are there already."""
    libc = ctypes.CDLL(None)
    libc.mallopt(M_MMAP_THRESHOLD, KEPT)
    libc.mallopt(M_TRIM_THRESHOLD, KEPT)


def prepare() -> Callable[[Task], bytes]:
    """Import the codecs and return what makes a JPEG of a task."""
    import simplejpeg
    import torch

    torch.set_num_threads(1)
    interpolate = torch.nn.functional.interpolate
    quality = SETTINGS.images.quality
    buffer = np.empty(1 << 25, np.uint8)

    def crop(task: Task) -> bytes:
        pixels = simplejpeg.decode_jpeg(task.data, "RGB", buffer=buffer, strict=True)
        if task.turns:
            pixels = np.ascontiguousarray(np.rot90(pixels, task.turns))
        width, height = task.size
        if pixels.shape[:2] != (height, width):
            batch = torch.from_numpy(pixels).unsqueeze(0).permute(0, 3, 1, 2)
            resized = interpolate(batch, size=(height, width), mode="bicubic", antialias=True)
            pixels = resized.permute(0, 2, 3, 1)[0].numpy()
        (x, y), (w, h) = task.corner, task.target
        file = BytesIO()
        Image.fromarray(pixels[y : y + h, x : x + w]).save(file, "JPEG", quality=quality, subsampling=task.subsampling)
        return file.getvalue()

    return crop


def check(tasks: list[Task]) -> int:
    """Return how many JPEGs were compared with the pipeline's; ends the program where one differs."""
    from dataset_assets.images.pipeline import make_crop
    from dataset_assets.images.probe import configure
    from dataset_assets.records import CropTask

    configure()
    crop = prepare()
    for task in tasks:
        wanted = CropTask(slot=0, image_id=task.image_id, source="", uri="", version="", target=task.target)
        if crop(task) != make_crop(task.data, wanted, SETTINGS.images).jpeg:
            raise SystemExit(f"the floor's JPEG of {task.image_id} is not the pipeline's")
    return len(tasks)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--check", type=int, default=0, help="only compare so many JPEGs, and all that are turned")
    options = parser.parse_args()
    tasks = load_tasks(options.folder)
    if options.check:
        turned = [task for task in tasks if task.turns]
        print(json.dumps({"compared": check([*tasks[:: max(1, len(tasks) // options.check)], *turned])}))
        return
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(options.processes)
    pipes = [context.Pipe(duplex=False) for _ in range(options.processes)]
    workers = [
        context.Process(target=work, args=(tasks[number :: options.processes], barrier, theirs), daemon=True)
        for number, (_, theirs) in enumerate(pipes)
    ]
    for worker in workers:
        worker.start()
    for _, theirs in pipes:
        theirs.close()  # so that a process that dies is noticed
    starts, ends, cpu, images, made = zip(*(ours.recv() for ours, _ in pipes), strict=True)
    for worker in workers:
        worker.join()
    seconds = max(ends) - min(starts)
    print(json.dumps({"images": sum(images), "seconds": seconds, "cpu": sum(cpu), "bytes": sum(made)}))


if __name__ == "__main__":
    main()
