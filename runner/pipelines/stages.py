"""The stages before and after the network: decoding, torchvision's transforms, the answer."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torchvision
from PIL import Image, UnidentifiedImageError
from torchvision.transforms import functional, v2

from runner.contract import ModelError
from runner.host.raised import words_of
from runner.models.workload import tensors_of
from runner.pipelines.images import Jpeg
from runner.trial.description import Trial

RESIZED = 256 / 224  # of a classifier's crop, where its weights do not say
UNREADABLE = (OSError, RuntimeError, ValueError, SyntaxError)  # what decoders raise
TOP = 5  # classes of an answer
LEAST_SCORE, MAX_OVERLAP, MAX_BOXES = 0.05, 0.5, 100  # of a detector's answer; COCO's usual ones

Transform = Callable[[Any], torch.Tensor]


def decoder_of(trial: Trial) -> Callable[[Jpeg], Any]:
    """From a JPEG to an image of three channels: PIL's, or a tensor (3, height, width) of bytes.

    It raises ModelError for a file that is no JPEG.
    """
    on_device, name = trial.pipeline.transforms_on == "device", trial.pipeline.decoder
    decode = _by_torchvision if name == "torchvision" else _by_pil
    as_tensor = on_device and name == "pil"

    def decoded(jpeg: Jpeg) -> Any:
        try:
            image = decode(jpeg.data)
        except UnidentifiedImageError:
            raise ModelError(f"{jpeg.name} can't be decoded (it is no JPEG); remove it") from None
        except (*UNREADABLE, Image.DecompressionBombError) as error:
            why = words_of(error).partition("\n")[0]
            raise ModelError(f"{jpeg.name} can't be decoded ({why}); remove it") from error
        return functional.pil_to_tensor(image) if as_tensor else image

    return decoded


def has_torchvision_decoder() -> bool:
    """Whether this torchvision still decodes JPEGs; 0.29 announces that a later one will not."""
    return hasattr(torchvision.io, "decode_jpeg")


def _by_torchvision(data: bytes) -> torch.Tensor:
    encoded = torch.frombuffer(bytearray(data), dtype=torch.uint8)  # it must be writable
    image: torch.Tensor = torchvision.io.decode_jpeg(encoded, mode=torchvision.io.ImageReadMode.RGB)
    return image


def _by_pil(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data), formats=("JPEG",)).convert("RGB")


def transform_of(trial: Trial) -> Transform:
    """From an image to a normalized tensor (3, height, width): the preset of the weights.

    The preset is torchvision's for the model, in proportion to the input's size; ImageNet's for
    models of other sources. A classifier's resizes the short side and cuts the centre out, or for
    inputs that are not square both sides; that of a segmentation resizes to the input's size, as
    images of several shapes make no batch. With transforms=v2 the same steps by
    torchvision.transforms.v2.
    """
    preset: Transform = _preset(trial)
    if trial.pipeline.transforms == "weights":
        return preset
    return _as_v2(preset, trial)


def _preset(trial: Trial) -> Any:
    size = trial.input.pixels
    name, asked = trial.model.name, trial.model.weights or "DEFAULT"
    if trial.model.source_name == "torchvision":
        weights = torchvision.models.get_model_weights(name)
    else:
        weights, asked = torchvision.models.ResNet50_Weights, "IMAGENET1K_V1"
    preset: Any = weights[asked].transforms()
    if hasattr(preset, "crop_size"):
        factor = preset.resize_size[0] / preset.crop_size[0]
        preset.crop_size = list(size)
        sides = dict.fromkeys(size)  # one for a square: that of the short side
        preset.resize_size = [round(side * factor) for side in sides]
    elif hasattr(preset, "resize_size"):
        preset.resize_size = list(size)
    return preset


def _as_v2(preset: Any, trial: Trial) -> Transform:
    as_tensor = trial.pipeline.decoder == "pil" and trial.pipeline.transforms_on == "cpu"
    steps: list[Any] = [v2.PILToTensor()] if as_tensor else []
    if hasattr(preset, "resize_size"):
        steps.append(
            v2.Resize(
                preset.resize_size,
                interpolation=preset.interpolation,
                antialias=bool(preset.antialias),
            )
        )
    if hasattr(preset, "crop_size"):
        steps.append(v2.CenterCrop(preset.crop_size))
    steps.append(v2.ToDtype(torch.float32, scale=True))
    if hasattr(preset, "mean"):
        steps.append(v2.Normalize(preset.mean, preset.std))
    made: Transform = v2.Compose(steps)
    return made


def answer_of(task: str) -> Callable[[Any], object]:
    """From an output on the host to an answer in Python's own values.

    Classes with their shares for a classifier, a map of classes (height, width) for segmentation,
    boxes after NMS across all classes' candidates for a detector.
    """
    return {"detection": _boxes, "segmentation": _map}.get(task, _classes)


def _classes(output: Any) -> list[tuple[list[float], list[int]]]:
    logits = tensors_of(output)[0].float()
    shares, classes = logits.softmax(-1).topk(min(TOP, logits.shape[-1]))
    return list(zip(shares.tolist(), classes.tolist(), strict=True))


def _map(output: Any) -> torch.Tensor:
    return tensors_of(output)[0].argmax(1).to(torch.uint8)


def _boxes(output: Sequence[dict[str, torch.Tensor]]) -> list[dict[str, list[Any]]]:
    found = []
    for one in output:
        likely = one["scores"] >= LEAST_SCORE
        boxes, scores, labels = (one[name][likely] for name in ("boxes", "scores", "labels"))
        kept = torchvision.ops.batched_nms(boxes.float(), scores.float(), labels, MAX_OVERLAP)
        kept = kept[:MAX_BOXES]
        found.append(
            {"boxes": boxes[kept].tolist(), "scores": scores[kept].tolist(),
             "labels": labels[kept].tolist()}
        )  # fmt: skip
    return found
