"""How long the steps of a compilation take."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Stages:
    """Seconds spent in named stages."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    def report(self) -> dict[str, object]:
        """`compile_s` and `stages_s` as an artifact's report has them."""
        return {
            "compile_s": round(sum(self.seconds.values()), 3),
            "stages_s": {name: round(seconds, 3) for name, seconds in self.seconds.items()},
        }
