"""The JPEGs of the requests: the user's own, or made with the statistics of photographs."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from runner.contract import ModelError, Problem
from runner.trial.description import Trial

MAX_IMAGES = 256  # of a folder, which are read into memory; requests take them in turn
MADE = 16  # images
QUALITY = 90
SLOPE = 1.5  # amplitudes fall with frequency as f^-1.5: at this quality 2 bits a pixel, as photos
CONTRAST, SHARED = 50.0, 0.4  # standard deviation of a channel; its part of its own
SUFFIXES = (".jpg", ".jpeg")


@dataclass(frozen=True)
class Jpeg:
    """An encoded image in memory, as a request would bring it."""

    name: str
    data: bytes


def jpegs_of(trial: Trial) -> list[Jpeg]:
    """The images of the trial, in the order in which requests take them.

    Raises ModelError for a folder that can't be read.
    """
    if trial.pipeline.images is None:
        return _made(trial.input.pixels, trial.seed)
    paths = _paths(Path(trial.pipeline.images))[:MAX_IMAGES]
    try:
        found = [Jpeg(str(path), path.read_bytes()) for path in paths]
    except OSError as error:
        raise ModelError(f"{error.filename} can't be read ({error.strerror})") from error
    if not found:
        raise ModelError(f"pipeline.images={trial.pipeline.images} has no {' or '.join(SUFFIXES)}")
    return found


def problem_of(folder: str) -> Problem | None:
    """Why a folder has no images, found without decoding any."""
    key, path = "pipeline.images", Path(folder)
    if not path.is_dir():
        what = "a file" if path.exists() else "not there"
        return Problem(key, f"{key}={folder} is {what}", "expected a folder with JPEGs")
    try:
        there = _paths(path)
    except OSError as error:
        return Problem(key, f"{key}={folder} can't be read ({error.strerror})")
    remedy = f"expected files that end in {' or '.join(SUFFIXES)}"
    return None if there else Problem(key, f"{key}={folder} has no JPEG", remedy)


def _paths(folder: Path) -> list[Path]:
    found = (path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    return sorted(path for path in found if path.is_file())


def _made(size: tuple[int, int], seed: int) -> list[Jpeg]:
    """Images whose spectrum falls as that of photographs does (Field 1987)."""
    random = np.random.default_rng([seed, *size])
    height, width = size
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = np.inf  # the mean is set below

    def field() -> np.ndarray:
        phases = np.exp(2j * np.pi * random.random(frequency.shape))
        values = np.fft.irfft2(phases / frequency**SLOPE, size)
        return values / max(float(values.std()), 1e-12)

    found = []
    for number in range(MADE):
        grey = field()
        channels = [grey + SHARED * field() for _ in range(3)]
        pixels = np.stack(channels, -1) * CONTRAST / np.hypot(1, SHARED) + 128
        encoded = io.BytesIO()
        image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
        image.save(encoded, "JPEG", quality=QUALITY)
        found.append(Jpeg(f"made image {number}", encoded.getvalue()))
    return found


def facts(jpegs: list[Jpeg], made: bool) -> dict[str, Callable[[], Any]]:
    """What the record says of the images."""
    return {
        "images": lambda: "made" if made else "files",
        "image_count": lambda: len(jpegs),
        "image_kib": lambda: round(sum(len(one.data) for one in jpegs) / len(jpegs) / 1024, 1),
        "image_size": lambda: "x".join(map(str, _size(jpegs[0])[::-1])),
    }


def _size(jpeg: Jpeg) -> tuple[int, int]:
    with Image.open(io.BytesIO(jpeg.data)) as image:
        return image.size
