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
