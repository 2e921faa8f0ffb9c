import re

import pytest

from splitkit.profiles import System, load_system
from splitkit.project.admission import refusal, required_bytes
from splitkit.space import describe, load_space


@pytest.fixture
def system() -> System:
    return load_system("demo")


def test_what_does_not_fit_the_compiled_plan_is_refused_with_its_size(system: System) -> None:
    space = load_space("tiny")
    architecture = space.largest(3)
    needed = required_bytes(describe(space, architecture), system, "sensor")
    assert needed >= describe(space, architecture).peak_sensor_bytes_bound(), "the search's bound is a lower one"

    def with_memory(memory_bytes: int) -> System:
        return system.model_copy(update={"sensor": system.sensor.model_copy(update={"memory_bytes": memory_bytes})})

    assert refusal(space, with_memory(needed), architecture) is None
    reason = refusal(space, with_memory(needed - 1), architecture)
    assert reason is not None
    assert reason.startswith("sensor:")
    assert str(needed) in reason


def test_a_sensor_that_computes_nothing_holds_its_image(system: System) -> None:
    space = load_space("tiny")
    assert required_bytes(describe(space, space.smallest(0)), system, "sensor") == 32 * 32


@pytest.mark.parametrize(("field", "what"), [("memory_bytes", "RAM"), ("flash_bytes", "flash")])
def test_without_an_operating_system_stack_and_flash_count_too(field: str, what: str) -> None:
    space, board = load_space("tiny"), load_system("m7-host")
    architecture = space.smallest(3)
    network = describe(space, architecture)

    def with_limit(limit: int) -> System:
        return board.model_copy(update={"sensor": board.sensor.model_copy(update={field: limit})})

    assert refusal(space, board, architecture) is None
    reason = refusal(space, with_limit(1000), architecture)
    assert reason is not None
    found = re.fullmatch(rf"sensor: needs ([\d,]+) bytes of {what}, ([\d,]+) more than the device's 1,000; .*", reason)
    assert found is not None
    needed = int(found[1].replace(",", ""))
    assert refusal(space, with_limit(needed), architecture) is None
    assert refusal(space, with_limit(needed - 1), architecture) is not None
    if field == "memory_bytes":
        assert needed == required_bytes(network, board, "sensor") > network.peak_sensor_bytes_bound()
