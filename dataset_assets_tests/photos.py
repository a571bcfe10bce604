"""Image files for tests, all made in code: small, the same on every machine, as odd as what people have on their disks.

`photo` makes pixels; `variants` are files that must be exported, `hostile` are files that must be counted.
"""

import struct
import zlib
from collections.abc import Iterable
from functools import cache
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from dataset_assets.errors import DropReason

SIZE = (197, 151)  # odd, so that chroma and blocks do not end where the image does
_ORIENTATION = 0x0112


def photo(width: int, height: int, seed: int = 0) -> NDArray[np.uint8]:  # (height, width, 3) uint8
    """Return what passes for a photograph: smooth light, hard edges, saturated colours and sensor noise."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / max(width, height)
    phase = random.uniform(0, 6, 3)
    light = np.stack([127 + 90 * np.sin(3 * x + 5 * y * (i + 1) / 2 + phase[i]) for i in range(3)], axis=-1)
    for _ in range(6):
        (cx, cy), radius, colour = random.uniform(0, 1, 2), random.uniform(0.03, 0.2), random.uniform(0, 255, 3)
        light[(x - cx) ** 2 + (y - cy) ** 2 < radius**2] = colour
    noisy: NDArray[np.uint8] = (light + random.normal(0, 4, light.shape)).clip(0, 255).astype(np.uint8)
    return noisy


def encoded(image: Image.Image | NDArray[np.uint8], name: str = "JPEG", **options: Any) -> bytes:
    """Return an image as a file of Pillow's format `name`."""
    file = BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, name, **options)
    return file.getvalue()


def jpeg(width: int, height: int, seed: int = 0, **options: Any) -> bytes:
    """Return a photo as a JPEG."""
    return encoded(photo(width, height, seed), quality=92, **options)


@cache
def variants() -> dict[str, bytes]:
    """Return named files that hold a photo of SIZE (turned where EXIF says so); each must be exported."""
    return {**_jpegs(), **_oriented(), **_profiled(), **_pngs(), **_others()}


@cache
def hostile() -> dict[str, tuple[DropReason, bytes]]:
    """Return named files that cannot be exported, and the reason that each is to be counted under."""
    plain, png = jpeg(*SIZE), encoded(photo(*SIZE), "PNG")
    files = {
        "empty": (DropReason.EMPTY_FILE, b""),
        "text": (DropReason.UNSUPPORTED_FORMAT, b"This is not an image.\n" * 20),
        "text starting like a bitmap": (DropReason.UNSUPPORTED_FORMAT, b"BMW, a maker of cars\n" * 20),
        "html": (DropReason.UNSUPPORTED_FORMAT, b"<!DOCTYPE html><title>404 Not Found</title>"),
        "heic": (DropReason.UNSUPPORTED_FORMAT, b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200)),
        "heic of brand mif1": (DropReason.UNSUPPORTED_FORMAT, b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic" + bytes(200)),
        "jxl": (DropReason.UNSUPPORTED_FORMAT, b"\xff\x0a" + bytes(200)),
        "zeros": (DropReason.UNSUPPORTED_FORMAT, bytes(5000)),
        "two bytes": (DropReason.UNSUPPORTED_FORMAT, plain[:2]),
        "float tiff": (DropReason.UNSUPPORTED_FORMAT, encoded(_grey().convert("F"), "TIFF")),
        "32-bit tiff": (DropReason.UNSUPPORTED_FORMAT, encoded(_grey().convert("I"), "TIFF")),
        "bomb": (DropReason.TOO_MANY_PIXELS, png_file(30_000, 30_000, 8, 2, b"")),
        "broken png header": (DropReason.DECODE_ERROR, png[:20] + b"\xff" * 40 + png[60:]),
        "png with a broken checksum": (DropReason.DECODE_ERROR, png[:-30] + b"\0\1\2\3" + png[-26:]),
        "noise after a jpeg's magic": (DropReason.DECODE_ERROR, plain[:4] + photo(30, 30).tobytes()),
        "jpeg without its last marker": (DropReason.DECODE_ERROR, plain[:-2]),
        "tiff that points nowhere": (DropReason.DECODE_ERROR, b"II*\0\xff\xff\xff\x7f" + bytes(50)),
    }
    for part in (3, 20, 150, 600, len(plain) // 2, len(plain) - 100):
        files[f"jpeg cut off after {part} bytes"] = (DropReason.DECODE_ERROR, plain[:part])
    for name, options in {"PNG": {}, "WEBP": {}, "TIFF": {"compression": "tiff_lzw"}, "GIF": {}, "AVIF": {}}.items():
        whole = encoded(photo(*SIZE), name, **options)
        files[f"half a {name.lower()}"] = (DropReason.DECODE_ERROR, whole[: len(whole) // 2])
    return files


def png_file(
    width: int, height: int, depth: int, colour: int, rows: bytes, *, interlaced: bool = False, last: bytes = b""
) -> bytes:
    """Return a PNG of these raw rows, each with its filter byte; `last` are chunks that follow the pixels."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    chunks = (png_chunk(b"IHDR", header), png_chunk(b"IDAT", zlib.compress(rows)), last, png_chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """Return one chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@cache
def srgb_profile() -> bytes:
    """Return an ordinary sRGB profile."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@cache
def swapped_profile() -> bytes:
    """Return a profile in which red and green have changed places: what is not transformed is plain to see."""
    names = {b"rXYZ": b"gXYZ", b"gXYZ": b"rXYZ"}
    profile = srgb_profile()
    count = int.from_bytes(profile[128:132], "big")
    tags = [profile[132 + 12 * i : 144 + 12 * i] for i in range(count)]
    table = b"".join(names.get(tag[:4], tag[:4]) + tag[4:] for tag in tags)
    return profile[:132] + table + profile[132 + len(table) :]


@cache
def grey_profile() -> bytes:
    """Return a grey profile of gamma 1, under which every mid-tone becomes much lighter."""
    return _profile(b"GRAY", b"XYZ ", {b"wtpt": _white(), b"kTRC": b"curv" + bytes(4) + struct.pack(">I", 0)})


@cache
def cmyk_profile() -> bytes:
    """Return a small printing profile: Lab colours of the sixteen corners, interpolated between."""
    corners = np.array([(c, m, y, k) for c in (0, 1) for m in (0, 1) for y in (0, 1) for k in (0, 1)], dtype=float)
    lightness = 100 - corners @ (30.0, 35.0, 10.0, 75.0)
    a, b = corners @ (-30.0, 60.0, -5.0, 0.0), corners @ (-40.0, -5.0, 80.0, 0.0)
    lab = np.stack([lightness.clip(8, 100) * 2.55, a + 128, b + 128], axis=-1).round().clip(0, 255).astype(np.uint8)
    identity = struct.pack(">9i", *(65536 * (i % 4 == 0) for i in range(9)))
    table = b"mft1" + bytes(4) + b"\4\3\2\0" + identity + bytes(range(256)) * 4 + lab.tobytes() + bytes(range(256)) * 3
    return _profile(b"CMYK", b"Lab ", {b"wtpt": _white(), b"A2B0": table}, kind=b"prtr")


def _white() -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", 63190, 65536, 54061)  # D50


def _profile(space: bytes, connection: bytes, tags: dict[bytes, bytes], kind: bytes = b"mntr") -> bytes:
    """Return an ICC profile of version 2 with these tags."""
    start, table, body = 132 + 12 * len(tags), b"", b""
    for name, data in tags.items():
        table += name + struct.pack(">II", start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    header = bytearray(128)
    header[0:4] = struct.pack(">I", start + len(body))
    header[8:24] = b"\2\x40\0\0" + kind + space + connection
    header[36:40] = b"acsp"
    header[68:80] = _white()[8:]
    return bytes(header) + struct.pack(">I", len(tags)) + table + body


def _grey() -> Image.Image:
    return Image.fromarray(photo(*SIZE)).convert("L")


def _alpha() -> Image.Image:
    width, height = SIZE
    return Image.fromarray(np.tile(np.linspace(0, 255, width).astype(np.uint8), (height, 1)))


def _with_alpha() -> Image.Image:
    image = Image.fromarray(photo(*SIZE)).convert("RGBA")
    image.putalpha(_alpha())
    return image


def _jpegs() -> dict[str, bytes]:
    pixels = photo(*SIZE)
    image = Image.fromarray(pixels)
    cmyk = encoded(image.convert("CMYK"))
    return {
        "jpeg": encoded(pixels, quality=92),
        "jpeg progressive": encoded(pixels, progressive=True),
        "jpeg 4:4:4": encoded(pixels, subsampling="4:4:4"),
        "jpeg 4:2:2": encoded(pixels, subsampling="4:2:2"),
        "jpeg 4:2:0": encoded(pixels, subsampling="4:2:0"),
        "jpeg quality 1": encoded(pixels, quality=1),
        "jpeg grey": encoded(_grey()),
        "jpeg rgb": encoded(pixels, keep_rgb=True),
        "jpeg cmyk": cmyk,
        "jpeg ycck": cmyk.replace(b"Adobe\0\x64\0\0\0\0\0", b"Adobe\0\x64\0\0\0\0\2"),
        "jpeg restart markers": encoded(pixels, restart_marker_blocks=3),
        "jpeg with rubbish behind": encoded(pixels) + b"rubbish" * 99,
        "mpo": encoded(image, "MPO", save_all=True, append_images=[image.rotate(180)]),
    }


def _oriented() -> dict[str, bytes]:
    files = {}
    for orientation in (*range(1, 9), 0, 9):
        exif = Image.Exif()
        exif[_ORIENTATION] = orientation
        for name in ("JPEG", "PNG", "WEBP", "TIFF", "AVIF") if orientation in (3, 6) else ("JPEG",):
            files[f"{name.lower()} exif {orientation}"] = encoded(photo(*SIZE), name, exif=exif)
    files["jpeg broken exif"] = encoded(photo(*SIZE), exif=b"Exif\0\0II*\0\xff\xff\0\0" + bytes(20))
    files["jpeg xmp orientation"] = encoded(photo(*SIZE), xmp=b'<x:xmpmeta tiff:Orientation="8"/>')
    files["png exif behind the pixels"] = _png_rgb(photo(*SIZE), last=png_chunk(b"eXIf", _exif_of(6)))
    files["tiff xmp orientation"] = encoded(photo(*SIZE), "TIFF", tiffinfo={700: b'<x tiff:Orientation="6"/>'})
    return files


def _exif_of(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[_ORIENTATION] = orientation
    return exif.tobytes().removeprefix(b"Exif\0\0")


def _profiled() -> dict[str, bytes]:
    pixels, broken = photo(*SIZE), b"this is no profile " * 20
    turned = Image.Exif()
    turned[_ORIENTATION] = 6
    return {
        "jpeg srgb profile": encoded(pixels, icc_profile=srgb_profile()),
        "jpeg swapped profile": encoded(pixels, icc_profile=swapped_profile()),
        "jpeg swapped profile exif 6": encoded(pixels, icc_profile=swapped_profile(), exif=turned),
        "jpeg broken profile": encoded(pixels, icc_profile=broken),
        "jpeg profile of another space": encoded(pixels, icc_profile=grey_profile()),
        "jpeg grey profile": encoded(_grey(), icc_profile=grey_profile()),
        "jpeg cmyk profile": encoded(Image.fromarray(pixels).convert("CMYK"), icc_profile=cmyk_profile()),
        "png swapped profile and alpha": encoded(_with_alpha(), "PNG", icc_profile=swapped_profile()),
        "webp swapped profile": encoded(pixels, "WEBP", icc_profile=swapped_profile()),
    }


def _pngs() -> dict[str, bytes]:
    pixels, (width, height) = photo(*SIZE), SIZE
    image = Image.fromarray(pixels)
    palette = image.quantize(64)
    grey16 = (np.asarray(_grey()).astype(np.uint16) * 257 + 100).clip(0, 65535).astype(np.uint16)
    rgb16 = np.concatenate([np.zeros((height, 1), np.uint8), _bytes16(pixels)], axis=1)
    grey_alpha = Image.merge("LA", (_grey(), _alpha()))
    return {
        "png": encoded(image, "PNG"),
        "png grey": encoded(_grey(), "PNG"),
        "png 16-bit grey": encoded(Image.fromarray(grey16), "PNG"),
        "png 16-bit grey with a clear value": _png_grey16_clear(grey16),
        "png 16-bit rgb": png_file(width, height, 16, 2, rgb16.tobytes()),
        "png rgba": encoded(_with_alpha(), "PNG"),
        "png rgba opaque": encoded(image.convert("RGBA"), "PNG"),
        "png grey and alpha": encoded(grey_alpha, "PNG"),
        "png palette": encoded(palette, "PNG"),
        "png palette with a clear entry": encoded(palette, "PNG", transparency=3),
        "png palette with alpha": encoded(palette, "PNG", transparency=bytes(range(0, 256, 4))),
        "png rgb with a clear colour": encoded(image, "PNG", transparency=tuple(int(v) for v in pixels[20, 30])),
        "png grey with a clear level": encoded(_grey(), "PNG", transparency=120),
        "png 1-bit": encoded(image.convert("1"), "PNG"),
        "png interlaced": _png_interlaced(pixels),
        "apng": encoded(image, "PNG", save_all=True, append_images=[image.rotate(180)], default_image=False),
    }


def _others() -> dict[str, bytes]:
    image = Image.fromarray(photo(*SIZE))
    grey16 = Image.fromarray(np.asarray(_grey()).astype(np.uint16) * 257)
    frames: dict[str, Any] = {"save_all": True, "append_images": [image.rotate(180)]}
    return {
        "webp": encoded(image, "WEBP"),
        "webp lossless": encoded(image, "WEBP", lossless=True),
        "webp alpha": encoded(_with_alpha(), "WEBP"),
        "webp animated": encoded(image, "WEBP", **frames),
        "tiff": encoded(image, "TIFF"),
        "tiff lzw": encoded(image, "TIFF", compression="tiff_lzw"),
        "tiff 16-bit": encoded(grey16, "TIFF"),
        "tiff cmyk": encoded(image.convert("CMYK"), "TIFF"),
        "tiff lab": encoded(image.convert("LAB"), "TIFF"),
        "tiff ycbcr": encoded(image.convert("YCbCr"), "TIFF", compression="jpeg"),
        "bmp": encoded(image, "BMP"),
        "bmp palette": encoded(image.quantize(16), "BMP"),
        "dib": encoded(image, "DIB"),
        "gif": encoded(image.quantize(64), "GIF"),
        "gif animated": encoded(image.quantize(64), "GIF", **frames),
        "gif with a clear entry": encoded(image.quantize(64), "GIF", transparency=image.quantize(64).getpixel((9, 9))),
        "avif": encoded(image, "AVIF"),
        "avif alpha": encoded(_with_alpha(), "AVIF"),
        "jpeg2000": encoded(image, "JPEG2000"),
        "jpeg2000 alpha": encoded(_with_alpha(), "JPEG2000"),
    }


def _bytes16(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:  # (height, width * 6) uint8
    """Return 8-bit pixels as big-endian 16-bit rows whose low bytes are not their high bytes."""
    samples = pixels.astype(np.uint16) * 256 + 77
    return samples.astype(">u2").view(np.uint8).reshape(pixels.shape[0], -1)


def _png_rgb(pixels: NDArray[np.uint8], last: bytes = b"") -> bytes:
    return png_file(pixels.shape[1], pixels.shape[0], 8, 2, _rows([pixels]), last=last)


def _png_interlaced(pixels: NDArray[np.uint8]) -> bytes:
    """Return an Adam7 PNG, which Pillow reads and cannot write."""
    passes = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
    parts = [pixels[y::down, x::right] for y, x, down, right in passes]
    return png_file(pixels.shape[1], pixels.shape[0], 8, 2, _rows(parts), interlaced=True)


def _rows(parts: Iterable[NDArray[np.uint8]]) -> bytes:
    """Return unfiltered PNG rows."""
    return b"".join(b"\0" + row.tobytes() for part in parts for row in part)


def _png_grey16_clear(samples: NDArray[np.uint16]) -> bytes:
    """Return 16-bit grey in which the value of one pixel is declared clear."""
    plain = encoded(Image.fromarray(samples), "PNG")
    start = plain.index(b"IDAT") - 4
    return plain[:start] + png_chunk(b"tRNS", struct.pack(">H", int(samples[40, 50]))) + plain[start:]
