"""Read bundles that were damaged in every way we know, with little memory, and see what it comes to.

python -m tests.reliability.damaged_bundles SCRATCH COUNT SEED KEY.pub.pem BUNDLE ...

Prints one JSON object: how many were refused and accepted by kind of damage, and the growth of memory in bytes. Ends
with an error, the damaged bundle left in SCRATCH, at the first that is neither read nor refused in one line.
"""

import json
import os
import random
import resource
import shutil
import signal
import socket
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from splitkit.bundle import MANIFEST, load_bundle
from splitkit.bundle.recompile import recompile
from splitkit.bundle.signing import SIGNATURE
from splitkit.errors import BundleError, ConfigError, DeviceError, ModelError, SplitkitError
from tests.bundle.bundles import reseal
from tests.reliability.mutate import VALUES, damaged, damaged_json

LONGEST_S = 60
"""For one bundle; a hang is longer, however busy the machine."""

SPARE_BYTES = 1 << 30
"""Address space beyond what reading an undamaged bundle took."""

Damage = Callable[[Path, random.Random], None]


def _rewrite(file: Path, how: Callable[..., Any], rng: random.Random) -> None:
    (content,) = how(file.read_bytes(), 1, rng.randrange(1 << 30))
    file.write_bytes(content)


def _listed(bundle: Path, rng: random.Random) -> Path:
    return bundle / rng.choice(sorted(json.loads((bundle / MANIFEST).read_text())["files"]))


def manifest_bytes(bundle: Path, rng: random.Random) -> None:
    _rewrite(bundle / MANIFEST, damaged, rng)


def manifest_values(bundle: Path, rng: random.Random) -> None:
    _rewrite(bundle / MANIFEST, damaged_json, rng)


def forged_manifest(bundle: Path, rng: random.Random) -> None:
    """One value of the manifest replaced, every digest right."""

    def change(body: dict[str, Any]) -> None:
        at: Any = body
        while True:
            key = rng.choice(sorted(at)) if isinstance(at, dict) else rng.randrange(len(at))
            if not isinstance(at[key], dict | list) or not at[key] or rng.random() < 0.1:
                at[key] = rng.choice([*VALUES, 10**9, 1 << 40, "../..", "/etc/passwd", -(10**9), [10**9] * 4])
                return
            at = at[key]

    text = (bundle / MANIFEST).read_text()
    try:
        reseal(bundle, change)
    except (AttributeError, KeyError, TypeError, ValueError):  # nothing left to be sealed
        body = json.loads(text)
        change(body)
        (bundle / MANIFEST).write_text(json.dumps(body, indent=1, sort_keys=True) + "\n")


def forged_artifact(bundle: Path, rng: random.Random) -> None:
    artifact = bundle / rng.choice(["sensor", "aggregator"]) / "artifact.json"
    _rewrite(artifact, rng.choice([damaged, damaged_json]), rng)
    reseal(bundle)


def forged_sample(bundle: Path, rng: random.Random) -> None:
    _rewrite(bundle / "sample.npz", damaged, rng)
    reseal(bundle)


def forged_graph(bundle: Path, rng: random.Random) -> None:
    _rewrite(bundle / "sensor.onnx", damaged, rng)
    reseal(bundle)


def changed_file(bundle: Path, rng: random.Random) -> None:
    _rewrite(_listed(bundle, rng), damaged, rng)


def other_kind_of_file(bundle: Path, rng: random.Random) -> None:
    """A file of the bundle becomes something else; the digests of those that can be read are right again."""
    file = rng.choice([_listed(bundle, rng), bundle / MANIFEST, bundle / "sensor"])
    moved = bundle.with_name("moved")
    shutil.rmtree(moved, ignore_errors=True)
    moved.unlink(missing_ok=True)
    file.rename(moved)
    kind = rng.choice(["link", "pipe", "socket", "directory", "nothing", "endless", "swapped"])
    if kind == "link":
        file.symlink_to(rng.choice([moved, Path("/dev/zero"), Path("/etc"), file]))
    elif kind == "pipe":
        os.mkfifo(file)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(os.path.relpath(file))
    elif kind == "directory":
        file.mkdir()
    elif kind == "endless":
        with file.open("wb") as sparse:
            sparse.truncate(1 << 42)
    elif kind == "swapped" and moved.is_file():
        shutil.copy(moved.parent / "other", file)


def stray_file(bundle: Path, rng: random.Random) -> None:
    """What nobody listed: refused beside a compiled half, and never used elsewhere."""
    name = rng.choice(["evil.so", "numpy.py", "stdint.h", "runner", "manifest.json~", "x/y/z"])
    stray = bundle / rng.choice(["", "sensor", "aggregator"]) / name
    stray.parent.mkdir(parents=True, exist_ok=True)
    stray.write_bytes(b"\x7fELF of somebody else")


def damaged_signature(bundle: Path, rng: random.Random) -> None:
    _rewrite(bundle / SIGNATURE, damaged, rng)


KINDS: dict[Damage, int] = {
    manifest_bytes: 4, manifest_values: 4, forged_manifest: 6, forged_artifact: 5, forged_sample: 3, forged_graph: 2,
    changed_file: 2, other_kind_of_file: 3, stray_file: 1, damaged_signature: 1,
}  # fmt: skip
"""How often each is done, relative to the others."""


def use(bundle: Path, damage: Damage, scratch: Path, key: Path) -> None:
    """Load, and use what loads: its sample, its graphs, its compiled halves.

    Machine code that somebody changed is loaded by nobody here: it is code, and may do anything.
    """
    found = load_bundle(bundle, key if damage is damaged_signature else None)
    images, _ = found.sample()
    if damage is forged_graph:
        shutil.rmtree(scratch / "made", ignore_errors=True)
        recompile(found, {"sensor": "onnxruntime"}, scratch / "made")
        return
    sensor, aggregator = found.open("sensor"), found.open("aggregator")
    if sensor is not None and aggregator is not None and damage is not forged_artifact:
        aggregator(sensor(images[0]))


def main(scratch: Path, count: int, seed: int, key: Path, bundles: list[Path]) -> dict[str, Any]:
    """Damage and read `count` bundles."""
    signal.signal(signal.SIGALRM, _too_long)
    rng = random.Random(seed)
    for bundle in bundles:
        use(bundle, changed_file, scratch, key)
        use(bundle, forged_graph, scratch, key)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    pages = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (pages + SPARE_BYTES, pages + SPARE_BYTES))
    (scratch / "other").write_bytes(b"of another bundle")
    refused: Counter[str] = Counter()
    accepted: Counter[str] = Counter()
    damages = rng.choices(list(KINDS), list(KINDS.values()), k=count)
    for number, damage in enumerate(damages):
        bundle = scratch / "bundle"
        shutil.rmtree(bundle, ignore_errors=True)
        shutil.copytree(rng.choice(bundles), bundle)
        damage(bundle, rng)
        signal.alarm(LONGEST_S)
        try:
            use(bundle, damage, scratch, key)
            accepted[damage.__name__] += 1
        except (BundleError, ModelError, DeviceError, ConfigError) as error:
            if "\n" in str(error) or len(str(error)) > 1000:
                raise AssertionError(f"{number}, {damage.__name__}: not one line: {error}") from error
            refused[damage.__name__] += 1
        except SplitkitError:
            raise
        except BaseException as error:
            raise AssertionError(f"{number}, {damage.__name__}: {type(error).__name__}: {error}") from error
        finally:
            signal.alarm(0)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    return {"refused": refused, "accepted": accepted, "grown_bytes": grown}


def _too_long(number: int, frame: FrameType | None) -> None:
    raise TimeoutError(f"longer than {LONGEST_S} s")


if __name__ == "__main__":
    where, how_many, start, public, *given = sys.argv[1:]
    print(json.dumps(main(Path(where), int(how_many), int(start), Path(public), [Path(path) for path in given])))
