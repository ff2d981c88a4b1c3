"""The JPEGs of requests: made ones look like photographs, the user's own are checked."""

from __future__ import annotations

import io

import numpy as np
import pytest
from fakes.trials import make_trial
from PIL import Image

from runner.contract import ModelError
from runner.pipelines import images, stages
from runner.pipelines.images import jpegs_of, problem_of

E2E = {"name": "e2e"}

pytestmark = pytest.mark.filterwarnings("ignore:The image decoding:DeprecationWarning")


def test_made_images_have_the_inputs_size_and_the_same_seed_makes_the_same():
    trial = make_trial(pipeline=E2E, input={"size": (48, 80)})
    made, again = jpegs_of(trial), jpegs_of(trial)
    assert Image.open(io.BytesIO(made[0].data)).size == (80, 48)
    assert [one.data for one in made] == [one.data for one in again]
    assert len({one.data for one in made}) == images.MADE
    assert jpegs_of(make_trial(pipeline=E2E, seed=1))[0].data != made[0].data


def test_made_images_are_as_hard_to_decode_as_photographs():
    (jpeg, *_) = jpegs_of(make_trial(pipeline=E2E, input={"size": (640, 640)}))
    assert 1 < len(jpeg.data) * 8 / 640**2 < 3  # bits a pixel
    pixels = np.asarray(Image.open(io.BytesIO(jpeg.data)))
    assert 20 < pixels.std() < 80


def test_the_users_own_folder_is_read_in_the_order_of_its_names(tmp_path):
    for name, colour in (("b.JPG", 200), ("a.jpeg", 100), ("notes.txt", None)):
        if colour is None:
            (tmp_path / name).write_text("no image")
        else:
            Image.new("L", (20, 10), colour).save(tmp_path / name, "JPEG")
    found = jpegs_of(make_trial(pipeline=E2E | {"images": str(tmp_path)}))
    assert [one.name.rpartition("/")[2] for one in found] == ["a.jpeg", "b.JPG"]
    assert problem_of(str(tmp_path)) is None


def test_a_folder_without_jpegs_is_a_problem_before_anything_runs(tmp_path):
    assert "has no JPEG; expected files that end in .jpg or .jpeg" in str(problem_of(str(tmp_path)))
    assert "is not there; expected a folder" in str(problem_of(str(tmp_path / "none")))
    file = tmp_path / "a.jpg"
    file.write_bytes(b"")
    assert "is a file; expected a folder" in str(problem_of(str(file)))


@pytest.mark.parametrize("decoder", ["pil", "torchvision"])
@pytest.mark.parametrize("data", [b"", b"no JPEG at all", b"\xff\xd8\xff\xe0 cut"])
def test_a_broken_file_is_named(decoder, data):
    decode = stages.decoder_of(make_trial(pipeline=E2E | {"decoder": decoder}))
    with pytest.raises(ModelError, match=r"photos/a.jpg can't be decoded \(.*\); remove it"):
        decode(images.Jpeg("photos/a.jpg", data))


def test_what_is_named_jpg_but_is_something_else_is_refused(tmp_path):
    encoded = io.BytesIO()
    Image.new("RGB", (9, 9)).save(encoded, "PNG")
    decode = stages.decoder_of(make_trial(pipeline=E2E))
    with pytest.raises(ModelError, match=r"a.jpg can't be decoded \(it is no JPEG\); remove it"):
        decode(images.Jpeg("a.jpg", encoded.getvalue()))
    (tmp_path / "folder.jpg").mkdir()
    assert "has no JPEG" in str(problem_of(str(tmp_path)))


def test_an_image_that_is_too_large_for_pil_is_named(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    encoded = io.BytesIO()
    Image.new("RGB", (9, 9)).save(encoded, "JPEG")
    decode = stages.decoder_of(make_trial(pipeline=E2E))
    with pytest.raises(ModelError, match=r"big\.jpg can.t be decoded"):
        decode(images.Jpeg("big.jpg", encoded.getvalue()))


def test_a_grey_image_becomes_one_of_three_channels():
    encoded = io.BytesIO()
    Image.new("L", (20, 10), 99).save(encoded, "JPEG")
    jpeg = images.Jpeg("grey.jpg", encoded.getvalue())
    shapes = [
        np.asarray(stages.decoder_of(make_trial(pipeline=E2E | {"decoder": name}))(jpeg)).shape
        for name in ("pil", "torchvision")
    ]
    assert shapes == [(10, 20, 3), (3, 10, 20)]
