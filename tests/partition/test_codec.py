"""Pictures as files."""

import numpy as np
import pytest

from splitkit.partition.codec import FORMATS, Codec, Format, Picture, decode, is_available, time_codec
from splitkit.profiles import load_device


def picture(channels: int, seed: int = 0) -> Picture:
    """Detail in its brightness, and colours that change slowly."""
    detail = np.random.default_rng(seed).integers(0, 60, (48, 48))
    slopes = [np.broadcast_to(np.linspace(40 * i, 190, 48), (48, 48)) for i in range(channels)]
    return np.stack([(detail + slope).astype(np.uint8) for slope in slopes])


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("format_", FORMATS)
def test_pictures_come_back_in_their_shape_and_nearly_as_they_were(format_: Format, channels: int) -> None:
    assert is_available(format_)
    some = [picture(channels, seed) for seed in range(3)]
    decoded, sizes = Codec(format_, 95).through(some)
    assert decoded.shape == (3, channels, 48, 48)
    assert decoded.dtype == np.uint8
    assert 0 < np.abs(decoded.astype(int) - np.stack(some)).mean() < 12
    assert sizes.tolist() == [len(Codec(format_, 95).encode(p)) for p in some]


@pytest.mark.parametrize("format_", FORMATS)
def test_a_lower_quality_makes_smaller_files_and_larger_errors(format_: Format) -> None:
    [low, high] = [Codec(format_, quality).through([picture(3)]) for quality in (5, 90)]
    assert low[1][0] < high[1][0]
    errors = [np.abs(found[0][0].astype(int) - picture(3)).mean() for found in (low, high)]
    assert errors[0] > errors[1]


def test_more_effort_makes_smaller_webp_files_and_other_pictures() -> None:
    quick, slow = (Codec("WEBP", 50, effort) for effort in (0, 6))
    assert len(slow.encode(picture(3))) < len(quick.encode(picture(3)))
    assert Codec("JPEG", 50, 0).encode(picture(3)) == Codec("JPEG", 50, 6).encode(picture(3))


def test_the_formats_are_what_they_are_called() -> None:
    assert Codec("JPEG", 50).encode(picture(1))[:2] == b"\xff\xd8"
    assert Codec("WEBP", 50).encode(picture(1))[8:12] == b"WEBP"
    assert decode(Codec("WEBP", 50).encode(picture(1)), 1).shape == (1, 48, 48)


def test_a_pictures_time_is_its_share_of_many() -> None:
    host = load_device("host")
    [one, many] = [time_codec(Codec("JPEG", 50), [picture(1)] * count, host, host) for count in (1, 64)]
    assert one.encode_us is not None
    assert many.encode_us is not None
    assert many.encode_us < one.encode_us, "the call's own time is shared"
    slow = time_codec(Codec("JPEG", 50), [picture(1)] * 64, host.model_copy(update={"time_scale": 1e4}), host)
    assert slow.encode_us is not None
    assert slow.encode_us > 100 * many.encode_us


def test_only_what_runs_here_is_timed_and_what_is_not_is_said() -> None:
    here, model = load_device("host"), load_device("hmd-sensor")
    times = time_codec(Codec("JPEG", 50), [picture(3)], model, here)
    assert times.encode_us is None
    assert times.decode_us is not None
    assert times.decode_us > 0
    assert (times.timed, times.missing) == ("decoding", "encoding")
    nothing = time_codec(Codec("JPEG", 50), [picture(3)], model, load_device("ar-soc"))
    assert (nothing.timed, nothing.missing) == ("", "encoding and decoding")
