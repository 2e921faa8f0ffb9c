"""What becomes of pictures of every kind that cameras, phones and drawing programs write."""

import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from splitkit.data import Dataset, SampleSource, folder
from splitkit.data.decode import GROUND, FullScale, UnreadableError, bombs_are_errors, decode, look
from splitkit.errors import DataError
from splitkit.space.search_space import InputSpace

GREY = InputSpace(channels=1, size=8, resolutions=(8,))

FORMATS = (
    "avif", "blp", "bmp", "dds", "gif", "icns", "ico", "jp2", "jpg", "pcx", "png", "ppm", "qoi", "sgi", "tga", "tif",
    "webp",
)  # fmt: skip

Pixels = NDArray[np.uint8]


def ramp(highest: float, dtype: str) -> NDArray[np.generic]:
    """16x16, from 0 at the left to `highest` at the right."""
    return np.broadcast_to(np.linspace(0, highest, 16), (16, 16)).astype(dtype)


def save(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)  # type: ignore[arg-type]
    return path


def read(path: Path, channels: int = 3) -> Pixels:
    return decode(path, channels, 8, FullScale())


def data_set(root: Path, make: Callable[[int], Image.Image], suffix: str, **options: object) -> Dataset:
    """Two classes of four training pictures and one test picture each; `make` is given their numbers, 0 to 9."""
    number = 0
    for part, count in (("train", 4), ("val", 1)):
        for name in ("ant", "bee"):
            (root / part / name).mkdir(parents=True, exist_ok=True)
            for i in range(count):
                save(root / part / name / f"{i}.{suffix}", make(number))
                number += 1
    return folder.load(root, GREY, **options)  # type: ignore[arg-type]


def images(source: SampleSource) -> torch.Tensor:
    return source.take(torch.arange(len(source))).images


@pytest.mark.parametrize("suffix", ["png", "tif", "jp2", "pgm"])
def test_sixteen_bit_greys_keep_their_shades(tmp_path: Path, suffix: str) -> None:
    deep = read(save(tmp_path / f"deep.{suffix}", Image.fromarray(ramp(65535, "uint16"))), 1)
    plain = read(save(tmp_path / "plain.png", Image.fromarray(ramp(255, "uint8"))), 1)
    assert np.abs(deep.astype(int) - plain.astype(int)).max() <= 1
    assert len(np.unique(deep)) == 8


@pytest.mark.parametrize(
    ("bits", "dtype"), [(8, "uint16"), (10, "uint16"), (12, "uint16"), (16, "uint16"), (24, "int32")]
)
@pytest.mark.parametrize("memory_bytes", [1 << 20, 0])
def test_greys_of_fewer_bits_than_their_files_fill_the_range(
    tmp_path: Path, bits: int, dtype: str, memory_bytes: int
) -> None:
    white = 2**bits - 1
    data = data_set(tmp_path, lambda i: Image.fromarray(ramp(white - i, dtype)), "tif", memory_bytes=memory_bytes)
    for source in (data.train, data.search, data.test):
        assert images(source).max() > 230
        assert images(source).min() < 20
    assert f"255 is {white:g} (found)" in data.description


@pytest.mark.parametrize("white", [1.0, 255.0, 4095.0])
def test_floating_point_greys_end_at_one_or_at_a_number_of_bits(tmp_path: Path, white: float) -> None:
    data = data_set(tmp_path, lambda i: Image.fromarray(ramp(white - i / 1000, "float32")), "tif")
    assert images(data.train).max() > 230
    assert f"255 is {white:g} (found)" in data.description


def test_floating_point_greys_of_no_known_scale_are_refused_until_it_is_stated(tmp_path: Path) -> None:
    def make(i: int) -> Image.Image:
        return Image.fromarray(ramp(30, "float32"))

    with pytest.raises(DataError, match=r"end at 30.*full_scale in \[data\]"):
        data_set(tmp_path, make, "tif")
    data = data_set(tmp_path, make, "tif", full_scale=30.0)
    assert images(data.train).max() > 230


def test_a_stated_full_scale_clips_what_lies_above(tmp_path: Path) -> None:
    data = data_set(
        tmp_path, lambda i: Image.fromarray(ramp(65535 if i == 0 else 4095, "uint16")), "png", full_scale=4095
    )
    assert data.problems == ()
    assert (images(data.train).amax((1, 2, 3, 4)) > 230).all()


def test_a_test_picture_above_the_training_pictures_scale_is_named(tmp_path: Path) -> None:
    data_set(tmp_path, lambda i: Image.fromarray(ramp(4095, "uint16")), "png")
    save(tmp_path / "val/ant/bright.png", Image.fromarray(ramp(60000, "uint16")))
    data = folder.load(tmp_path, GREY)
    assert len(data.test) == 2
    (line,) = data.test_problems
    assert "bright.png: holds 60000, the training pictures end at 4095" in line


def test_values_that_are_no_greys_are_named(tmp_path: Path) -> None:
    data_set(tmp_path, lambda i: Image.fromarray(ramp(1, "float32")), "tif")
    holes, below = ramp(1, "float32").copy(), ramp(1, "float32") - 0.5
    holes[3, 3] = np.nan
    save(tmp_path / "train/ant/holes.tif", Image.fromarray(holes))
    save(tmp_path / "train/ant/below.tif", Image.fromarray(below.astype("float32")))
    problems = folder.load(tmp_path, GREY).problems
    assert [line.split(": ", 1)[1] for line in problems] == [
        "holds negative values, down to -0.5: greys begin at 0",
        "holds values that are not numbers",
    ]


def png_of_sixteen_bit_colour(values: NDArray[np.uint16]) -> bytes:
    """A PNG of (height, width, 3), which Pillow can read but not write."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    height, width, _ = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_sixteen_bit_colour_is_read_but_refused_where_it_would_come_out_black(tmp_path: Path) -> None:
    colour = np.repeat(ramp(65535, "uint16")[..., None], 3, axis=2).astype(np.uint16)
    (tmp_path / "x.png").write_bytes(png_of_sixteen_bit_colour(colour))
    assert read(tmp_path / "x.png").max() > 230
    data_set(tmp_path, lambda i: Image.new("RGB", (16, 16)), "png")
    for path in (tmp_path / "train").glob("*/*.png"):
        path.write_bytes(png_of_sixteen_bit_colour(colour // 16))
    for stated in (None, 4095.0):
        with pytest.raises(DataError, match=r"16-bit colour pictures whose values end at 4095.*8 bits a channel"):
            folder.load(tmp_path, GREY, full_scale=stated)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
def test_pictures_stand_upright(tmp_path: Path, orientation: int, suffix: str) -> None:
    upright = Image.fromarray(np.kron(np.array([[0, 90], [180, 255]], np.uint8), np.ones((16, 16), np.uint8)))
    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }  # fmt: skip
    stored = upright.transpose(turns[orientation]) if orientation in turns else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = read(save(tmp_path / f"x.{suffix}", stored.convert("RGB"), exif=exif), 1)
    assert np.abs(found[0, [1, 1, 6, 6], [1, 6, 1, 6]].astype(int) - [0, 90, 180, 255]).max() < 12


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_lies_on_grey(tmp_path: Path, mode: str, channels: int) -> None:
    pixels = np.zeros((16, 16, 4), np.uint8)
    pixels[:, 8:] = (255, 255, 255, 255)
    image = Image.fromarray(pixels)
    path = save(tmp_path / "x.png", image.convert(mode))
    if mode == "P":
        coded = Image.fromarray((pixels[..., 0] > 0).astype(np.uint8)).convert("P")
        coded.putpalette([0, 0, 0, 255, 255, 255])
        save(path, coded, transparency=0)
    found = read(path, channels)
    assert found[:, 4, 1].tolist() == [GROUND] * channels
    assert found[:, 4, 6].tolist() == [255] * channels


def test_a_deep_greys_transparent_value_is_grey_too(tmp_path: Path) -> None:
    values = np.full((16, 16), 65535, np.uint16)
    values[:, :8] = 7
    found = read(save(tmp_path / "x.png", Image.fromarray(values), transparency=7), 1)
    assert (found[0, 4, 1], found[0, 4, 6]) == (GROUND, 255)


def test_drawings_in_black_and_in_white_both_show_on_transparent_ground(tmp_path: Path) -> None:
    for shade in (0, 255):
        pixels = np.full((16, 16, 4), (shade, shade, shade, 0), np.uint8)
        pixels[4:12, 4:12, 3] = 255
        assert np.ptp(read(save(tmp_path / f"{shade}.png", Image.fromarray(pixels)), 1)) > 100


@pytest.mark.parametrize(
    ("mode", "suffix"), [("CMYK", "jpg"), ("CMYK", "tif"), ("1", "png"), ("YCbCr", "jpg"), ("P", "gif")]
)
def test_other_ways_to_write_colours_come_out_the_same(tmp_path: Path, mode: str, suffix: str) -> None:
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[:, 8:] = 255
    found = read(save(tmp_path / f"x.{suffix}", Image.fromarray(pixels).convert(mode)))
    assert np.abs(found[:, 4, [1, 6]].astype(int) - [[0, 255]] * 3).max() < 8


@pytest.mark.parametrize("suffix", ["gif", "png", "webp", "tif"])
def test_of_several_frames_the_first_counts(tmp_path: Path, suffix: str) -> None:
    frames = [Image.new("RGB", (16, 16), (shade,) * 3) for shade in (200, 0, 0)]
    path = save(tmp_path / f"x.{suffix}", frames[0], save_all=True, append_images=frames[1:])
    assert np.abs(read(path).astype(int) - 200).max() < 6


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_damaged_file_of_any_format_is_a_picture_or_one_line(tmp_path: Path, suffix: str) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8))
    whole = save(tmp_path / f"whole.{suffix}", noise.convert("P") if suffix == "blp" else noise).read_bytes()
    draw, path, reasons = random.Random(suffix), tmp_path / f"x.{suffix}", []
    with bombs_are_errors():
        for i in range(60):
            content = bytearray(whole[: draw.randrange(len(whole))] if i % 3 == 0 else whole)
            for _ in range(draw.randrange(1, 8) if i % 3 else 0):
                content[draw.randrange(min(200, len(content)) if i % 3 == 1 else len(content))] = draw.randrange(256)
            path.write_bytes(content)
            try:
                assert np.shape(look(path, 3, 8)) == (3, 8, 8)
            except UnreadableError as error:
                reasons.append(str(error))
    assert len(reasons) > 5
    assert all(reason and "\n" not in reason for reason in reasons)


def test_a_decompression_bomb_is_named_and_the_rest_is_used(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    data_set(tmp_path, lambda i: Image.fromarray(ramp(255, "uint8")), "png")
    for side in (9_600, 20_000):
        Image.new("1", (side, side)).save(tmp_path / f"train/ant/{side}.png")
    data = folder.load(tmp_path, GREY)
    assert [line.split("/")[-1].split(":")[0] for line in data.problems] == ["20000.png", "9600.png"]
    assert len(data.train) + len(data.search) == 8
    assert capfd.readouterr().err == ""
    assert len(recwarn) == 0


def test_programs_are_not_run_to_draw_a_picture(tmp_path: Path) -> None:
    path = save(tmp_path / "x.eps", Image.new("RGB", (16, 16)))
    with pytest.raises(UnreadableError, match="a program, not a picture"):
        read(path)
