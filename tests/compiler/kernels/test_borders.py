"""Which tiles of a row touch its edges."""

from dataclasses import dataclass

from hypothesis import assume, given
from hypothesis import strategies as st

from splitkit.compiler.codegen.borders import inside, touches_edge


@dataclass(frozen=True)
class Window:
    size: tuple[int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int, int, int]
    dilation: tuple[int, int]
    out_size: tuple[int, int]


@given(
    width=st.integers(1, 20),
    kernel=st.integers(1, 7),
    stride=st.integers(1, 3),
    dilation=st.integers(1, 3),
    left=st.integers(0, 6),
    right=st.integers(0, 6),
    start=st.integers(0, 20),
    size=st.integers(1, 8),
)
def test_a_tile_touches_an_edge_if_any_of_its_windows_does(
    width: int, kernel: int, stride: int, dilation: int, left: int, right: int, start: int, size: int
) -> None:
    columns = (width + left + right - dilation * (kernel - 1) - 1) // stride + 1
    assume(start + size <= columns)
    window = Window((1, width), (1, kernel), (1, stride), (0, left, 0, right), (1, dilation), (1, columns))
    every = [inside(window, start + j, s) for j in range(size) for s in range(kernel)]
    assert touches_edge(window, start, size) == (not all(every))
