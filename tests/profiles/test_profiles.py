"""Profiles: what ships is complete and sourced, and a mistake is named by file and field."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from splitkit.errors import ConfigError
from splitkit.profiles import load_device, load_link, load_system, profile_names, profile_text
from splitkit.profiles.loading import KINDS, Kind
from splitkit.profiles.schema import DeviceProfile, LinkProfile

LOADERS: dict[Kind, Callable[[str], object]] = {"devices": load_device, "links": load_link, "systems": load_system}

SHIPPED = [(kind, name) for kind in KINDS for name in profile_names(kind)]


def test_the_promised_profiles_ship() -> None:
    assert {"host", "host-2t", "demo-sensor", "hmd-sensor", "ar-soc"} <= set(profile_names("devices"))
    assert {"spi", "mipi-csi2", "usb"} <= set(profile_names("links"))
    assert {"demo", "hmd"} <= set(profile_names("systems"))


@pytest.mark.parametrize(("kind", "name"), SHIPPED)
def test_a_shipped_profile_loads_under_its_own_name(kind: Kind, name: str) -> None:
    assert LOADERS[kind](name).name == name  # type: ignore[attr-defined]
    assert profile_text(kind, name).strip()


@pytest.mark.parametrize(("kind", "name"), SHIPPED)
def test_every_shipped_number_says_where_it_comes_from(kind: Kind, name: str) -> None:
    profile = LOADERS[kind](name)
    assert profile.unsourced() == []  # type: ignore[attr-defined]


def test_unsourced_numbers_are_found() -> None:
    assert LinkProfile(name="wire", bandwidth_bytes_per_s=1e6).unsourced() == ["bandwidth_bytes_per_s", "overhead_us"]


def test_a_shared_link_carries_the_views_one_after_the_other() -> None:
    own = LinkProfile(name="wire", bandwidth_bytes_per_s=1e6, overhead_us=10.0)
    shared = own.model_copy(update={"shared": True})
    assert own.latency_us(1000.0, views=4) == pytest.approx(1010.0)
    assert shared.latency_us(1000.0, views=4) == pytest.approx(4040.0)
    np.testing.assert_allclose(shared.latency_us(np.array([0.0, 1000.0]), views=2), [20.0, 2020.0])


def test_a_system_is_read_from_names_files_and_tables(tmp_path: Path) -> None:
    (tmp_path / "slow.toml").write_text('name = "slow"\nkind = "host"\ntime_scale = 8.0\n')
    (tmp_path / "mine.toml").write_text(
        'name = "mine"\nsensor = "./slow.toml"\naggregator = "host"\n'
        '[link]\nname = "wire"\nbandwidth_bytes_per_s = 5e5\n'
    )
    system = load_system(tmp_path / "mine.toml")
    assert system.device("sensor").time_scale == 8.0
    assert system.device("aggregator") == load_device("host")
    assert system.link.bandwidth_bytes_per_s == 5e5
    assert system.unsourced() == ["sensor.time_scale", "link.bandwidth_bytes_per_s", "link.overhead_us"]


def test_unscaled_removes_only_the_scale() -> None:
    device = load_device("demo-sensor")
    assert device.unscaled().time_scale == 1.0
    assert device.unscaled().memory_bytes == device.memory_bytes


def counting(**more: object) -> DeviceProfile:
    body: dict[str, object] = {
        "name": "board",
        "kind": "counting",
        "clock_hz": 50e6,
        "cpi": {"default": 2.0, "linear": 4.0},
    }
    return DeviceProfile.model_validate(body | more)


def test_instructions_become_microseconds_by_family_clock_and_scale() -> None:
    assert counting().us_per_unit() == pytest.approx(0.04)
    assert counting().us_per_unit("linear") == pytest.approx(0.08)
    assert counting(time_scale=3.0).us_per_unit("pool") == pytest.approx(0.12)
    assert load_device("demo-sensor").us_per_unit("linear") == 200.0


def test_an_unscaled_device_counts_in_its_own_unit() -> None:
    unscaled = counting(time_scale=3.0).unscaled()
    assert {unscaled.us_per_unit(family) for family in ("default", "linear", "pool")} == {1.0}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"cpi": {}}, "clock_hz and cpi go together"),
        ({"clock_hz": None}, "clock_hz and cpi go together"),
        ({"cpi": {"linear": 1.0}}, r"cpi\.default: is missing"),
        ({"cpi": {"default": 0.0}}, "greater than 0"),
        ({"flash_bytes": 0}, "greater than 0"),
    ],
)
def test_counts_need_a_clock_and_a_default(more: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        counting(**more)


def test_clock_and_cpi_are_numbers_that_need_a_source() -> None:
    assert counting(flash_bytes=1).unsourced() == ["clock_hz", "cpi", "flash_bytes"]


def test_profiles_are_frozen() -> None:
    with pytest.raises(ValidationError):
        load_device("host").threads = 3


ROOFLINE = 'name = "x"\nkind = "analytical"\nbandwidth_bytes_per_s = 1e9\n'
HOST = 'name = "x"\nkind = "host"\n'


@pytest.mark.parametrize(
    ("text", "field", "says"),
    [
        (HOST + "clock = 3\n", "clock", "unknown key"),
        (HOST + "time_scale = 0\n", "time_scale", "greater than 0"),
        (HOST + "threads = 2\ncpus = [0]\n", "cpus", "one per thread"),
        (HOST + "[sources]\nspeed = 'guess'\n", "sources.speed", "no such field"),
        ('kind = "host"\n', "name", "missing"),
        ('name = "x"\nkind = "analytical"\n', "macs_per_s", "needs it"),
        (ROOFLINE + "macs_per_s = {float32 = 1e9}\n", "kernel_overhead_us", "needs it"),
        (ROOFLINE + "macs_per_s = {int8 = 1e9}\nkernel_overhead_us = 1\n", "macs_per_s", "float32 is needed"),
        ("name = [\n", "not TOML", ""),
    ],
)  # fmt: skip
def test_a_mistake_in_a_device_names_file_and_field(tmp_path: Path, text: str, field: str, says: str) -> None:
    file = tmp_path / "device.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as error:
        load_device(file)
    message = str(error.value)
    assert str(file) in message
    assert field in message
    assert says in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("part", "says"), [('"hots"', "known: alif-e3-hp"), ('"./gone.toml"', "gone.toml"), ("3", "sensor")]
)
def test_a_system_with_a_bad_part_names_it(tmp_path: Path, part: str, says: str) -> None:
    file = tmp_path / "system.toml"
    file.write_text(f'name = "x"\nsensor = {part}\nlink = "spi"\naggregator = "host"\n')
    with pytest.raises(ConfigError, match="sensor") as error:
        load_system(file)
    assert str(file) in str(error.value)
    assert says in str(error.value)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="known: mipi-csi2, mipi-csi2-x2, spi, usb"):
        load_link("i2c")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml: cannot be read"):
        load_system(tmp_path / "none.toml")
