import numpy as np
import pytest
from hypothesis import given

from splitkit.graphs.render import render
from splitkit.space import Architecture, Sampler, SearchSpace, describe, load_space
from splitkit.space.network import size_at
from splitkit.space.tensor import TensorSpec
from splitkit.space.units import PRESENT, Block, Fuse, Reduce

from .strategies import members, with_views


@given(members())
def test_both_sides_chain_and_carry_the_views(member: tuple[SearchSpace, Architecture]) -> None:
    space, a = member
    network = describe(space, a)
    assert len({p.slot for p in network.sensor + network.aggregator}) == len(network.sensor + network.aggregator)
    for side in ("sensor", "aggregator"):
        operators = network.operators(side)
        units = network.sensor if side == "sensor" else network.aggregator
        known = {t.name: t for t in units[0].unit.input_tensors()} if units else {}
        if space.input.masked and side == "aggregator":
            known[PRESENT] = TensorSpec(PRESENT, (space.views, 1, 1, 1))
        for op in operators:
            for tensor in op.inputs:
                assert known[tensor.name] == tensor, "an operator reads what nothing before it made"
            assert op.output.name not in known
            known[op.output.name] = op.output
    if a.placement == "split":
        received = next(t for op in network.operators("aggregator") for t in op.inputs if t.name != PRESENT)
        assert received.shape == (space.views, *network.link.shape[1:])
        assert received.dtype == network.link.dtype == a.link_dtype
    last = (network.operators("aggregator") or network.operators("sensor"))[-1].output
    assert last.shape == (1, space.head.classes)


@given(members())
def test_the_cut_moves_work_but_never_changes_the_backbone(member: tuple[SearchSpace, Architecture]) -> None:
    space, a = member
    if space.views > 1:
        return

    def backbone(network: object) -> list[object]:
        units = [p.unit for p in network.sensor + network.aggregator]  # type: ignore[attr-defined]
        return [u for u in units if not isinstance(u, Reduce | Fuse)]

    whole = SearchSpace.model_validate(space.model_dump() | {"placements": ("aggregator",)})
    uncut = whole.canonical(
        Architecture(**{f: getattr(a, f) for f in Architecture.__slots__} | {"split": 0, "fuse": 0})
    )
    assert backbone(describe(space, a)) == backbone(describe(whole, uncut))


def test_block_with_residual_keeps_shape_and_counts_macs() -> None:
    block = Block(1, 24, 24, 10, "inverted", 4, 5, 1, squeeze_excite=True, activation="swish")
    operators = block.operators(block.input_tensors(), "b")
    assert operators[-1].kind == "add"
    assert operators[-1].output.shape == (1, 24, 10, 10)
    squeeze = block.squeezed_channels
    expected = 100 * (24 * 96 + 25 * 96 + 96 * 24) + 2 * 96 * squeeze
    assert sum(op.macs for op in operators) == expected


def test_strided_block_before_which_blocks_keep_the_resolution() -> None:
    space = load_space("tiny")
    a = space.largest(4)  # stem, one block before the stride, the strided block, one after
    sizes = [size_at(space, a, boundary) for boundary in range(1, 6)]
    assert sizes == [16, 16, 8, 8, 8]
    assert describe(space, a).link.shape[2:] == (8, 8)


def test_payload_follows_ratio_and_dtype() -> None:
    space = load_space("tiny")
    rng = np.random.default_rng(0)
    for _ in range(50):
        a = Sampler(space.restricted("split"), rng).uniform()
        size = size_at(space, a, a.split)
        channels = space.link_channels(space.width_at(a, a.split), a.reduce_ratio)
        bytes_each = {"float32": 4, "float16": 2, "uint8": 1}[a.link_dtype]
        assert describe(space, a).payload_bytes == channels * size * size * bytes_each
    raw = describe(space, space.smallest(0))
    assert raw.payload_bytes == 32 * 32, "all on the aggregator sends the captured uint8 image"


@pytest.mark.parametrize("views", [1, 2])
@pytest.mark.parametrize("name", ["tiny", "cifar"])
def test_rendered_graphs_run_and_do_not_vanish(name: str, views: int) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    space = with_views(load_space(name), views)
    sampler = Sampler(space, np.random.default_rng(views))
    image = np.random.default_rng(1).integers(0, 256, (views, space.input.channels, 32, 32), dtype=np.uint8)
    for _ in range(6):
        network = describe(space, sampler.uniform())
        sent = image
        if network.sensor:
            model = onnxruntime.InferenceSession(render(network.operators("sensor"), 3).SerializeToString())
            sent = np.concatenate([model.run(None, {"image": view[None]})[0] for view in image])
        if network.aggregator:
            model = onnxruntime.InferenceSession(render(network.operators("aggregator"), 4).SerializeToString())
            sent = model.run(None, {model.get_inputs()[0].name: sent})[0]
        assert sent.shape == (1, 10)
        assert 0.01 < np.abs(sent).max() < 1e4
