"""What the sandwich rule trains."""

from collections import Counter
from typing import Any

from splitkit.space import SearchSpace, load_space
from splitkit.training import TrainConfig
from splitkit.training.sandwich import SandwichSampler

TINY = load_space("tiny")
CONFIG = TrainConfig(steps=200, batch=8, learning_rate=0.1, random_subnetworks=2)


def sampler_of(space: SearchSpace = TINY, **changes: Any) -> SandwichSampler:
    return SandwichSampler(space, CONFIG.model_copy(update=changes))


def test_teacher_is_the_largest_network_whole_on_either_side_in_turn() -> None:
    sampler = sampler_of()
    teachers = [sampler.draw(step).teacher for step in range(4)]
    assert teachers == [TINY.largest(0), TINY.largest(99)] * 2


def test_smallest_network_is_always_among_the_students() -> None:
    sampler = sampler_of()
    smallest = TINY.smallest(0)
    for step in range(20):
        students = sampler.draw(step).students
        assert len(students) == 3
        assert (students[0].phases, students[0].resolution) == (smallest.phases, smallest.resolution)


def test_steps_between_sandwiches_train_random_networks_only() -> None:
    sampler = sampler_of(sandwich_every=3)
    teachers = [sampler.draw(step).teacher for step in range(7)]
    assert teachers == [TINY.largest(0), None, None, TINY.largest(99), None, None, TINY.largest(0)]
    assert [len(sampler.draw(step).students) for step in range(3)] == [3, 2, 2]


def test_the_largest_network_may_begin_alone_and_at_a_low_resolution() -> None:
    space = load_space("cifar")
    sampler = sampler_of(space, steps=8, largest_alone=0.5, coarse=0.25)
    drawn = [sampler.draw(step) for step in range(8)]
    assert [len(sandwich.students) for sandwich in drawn] == [0] * 4 + [3] * 4
    assert [s.teacher.resolution for s in drawn if s.teacher] == [24] * 2 + [32] * 6
    early = [sampler_of(space, steps=8, coarse=0.5).draw(step) for step in range(4)]
    assert {student.resolution for sandwich in early for student in sandwich.students} == {24}


def test_every_position_dtype_and_ratio_is_trained() -> None:
    sampler = sampler_of(random_subnetworks=3)
    students = [student for step in range(150) for student in sampler.draw(step).students]
    positions = Counter(student.split for student in students)
    placements = Counter(student.placement for student in students)
    assert set(positions) == set(range(TINY.max_units + 1))
    assert min(placements["aggregator"], placements["sensor"]) > 0.08 * len(students)
    links = Counter((s.link_dtype, s.reduce_ratio) for s in students if s.placement == "split")
    assert len(links) == len(TINY.link.dtypes) * len(TINY.link.reduce_ratios)


def test_students_are_members_of_the_space() -> None:
    two_views = TINY.model_copy(update={"input": TINY.input.model_copy(update={"views": 2})})
    for space in (TINY, two_views):
        sampler = sampler_of(space, random_subnetworks=3, seed=1)
        for step in range(40):
            sandwich = sampler.draw(step)
            assert sandwich.teacher is not None
            for architecture in (sandwich.teacher, *sandwich.students):
                space.check(architecture)


def test_only_allowed_placements_are_trained() -> None:
    sampler = sampler_of(TINY.restricted("split"))
    for step in range(40):
        sandwich = sampler.draw(step)
        assert sandwich.teacher is not None
        assert {a.placement for a in (sandwich.teacher, *sandwich.students)} == {"split"}


def test_a_draw_depends_on_seed_and_step_alone() -> None:
    first, second = sampler_of(seed=4), sampler_of(seed=4)
    first.draw(0)
    assert first.draw(7) == second.draw(7)
    assert first.draw(8) != second.draw(7)
