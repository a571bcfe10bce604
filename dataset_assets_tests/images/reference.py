"""What the stored pixels must be, made from Pillow and torch in the plainest way."""

from hashlib import sha256
from io import BytesIO

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps

from dataset_assets_tests.photos import encoded

_NO_TRANSFORM = ("jpeg srgb profile", "jpeg broken profile", "jpeg profile of another space", "tiff lab")


def decoded(name: str, data: bytes) -> NDArray[np.uint8]:  # (height, width, 3) uint8
    """Return the pixels of the fixture `name`."""
    image = ImageOps.exif_transpose(Image.open(BytesIO(data)))
    if image.mode.startswith("I;16"):
        samples = np.asarray(image).astype(np.float64)
        alpha = np.where(samples == image.info.get("transparency", -1), 0, 255).astype(np.uint8)
        grey = np.rint(samples / 257).astype(np.uint8)
        image = Image.merge("LA", (Image.fromarray(grey), Image.fromarray(alpha)))
    if "icc_profile" in image.info and name not in _NO_TRANSFORM:
        image = _managed(image)
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    return np.asarray(image.convert("RGB"))


def cropped(pixels: NDArray[np.uint8], target: tuple[int, int], image_id: str) -> bytes:
    """Return the stored JPEG with the default settings."""
    height, width = pixels.shape[:2]
    scale = max(target[0] / width, target[1] / height)
    size = max(target[1], int(height * scale + 0.5)), max(target[0], int(width * scale + 0.5))
    planes = torch.from_numpy(pixels.transpose(2, 0, 1).copy())[None]
    resized = torch.nn.functional.interpolate(planes, size=size, mode="bicubic", antialias=True)[0]
    at_right = (2, 3)[int(sha256(image_id.encode()).hexdigest()[:16], 16) % 2] == 3
    left, top = (size[1] - target[0]) * at_right, size[0] - target[1]
    crop = resized[:, top : top + target[1], left : left + target[0]].permute(1, 2, 0)
    return encoded(np.ascontiguousarray(crop.numpy()), quality=95, subsampling=0 if scale < 0.85 else 2)


def _managed(image: Image.Image) -> Image.Image:
    """Return the image in sRGB, with the alpha that it had."""
    alpha = image.getchannel("A") if image.mode == "RGBA" else None
    managed = ImageCms.profileToProfile(
        image.convert("RGB") if alpha else image,
        ImageCms.ImageCmsProfile(BytesIO(image.info["icc_profile"])),
        ImageCms.createProfile("sRGB"),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        outputMode="RGB",
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    assert managed is not None
    if alpha:
        managed.putalpha(alpha)
    return managed
