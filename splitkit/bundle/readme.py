"""The README inside a bundle: what it holds and code that runs each half as it stands."""

from collections.abc import Sequence

from splitkit.bundle import HalfRecord, Manifest
from splitkit.exporters.protocol import CallableFromC
from splitkit.exporters.registry import get_exporter
from splitkit.labels import shown_name
from splitkit.space.tensor import TensorSpec

_COMPILED = """\
```python
# {title}: the compiled half, through splitkit. Run it in this directory.
from splitkit.bundle import load_bundle

bundle = load_bundle(".")
images, scores = bundle.sample()
{body}
```
"""

_ONNX = """\
```python
# {title}: the same half in ONNX Runtime, without splitkit.
import numpy as np
import onnxruntime

images = np.load("sample.npz")["images"]
session = onnxruntime.InferenceSession("{file}", providers=["CPUExecutionProvider"])
{body}
```
"""

_RUN = """\
```sh
# As two processes: the aggregator first, then {sensors}.
python -P -m splitkit.runtime.aggregator . --listen 127.0.0.1:4747
{commands}
```
"""

_DEVICE = """\
```sh
# On {device}: copy {side}/runner and manifest.json there; it needs nothing else, Python included.
./runner {side} --manifest manifest.json {arguments}
```
"""

RUNNER_KIND = "linux-cross"
"""Devices of this kind get an executable that speaks the wire format."""


def bundle_readme(manifest: Manifest) -> str:
    """Markdown for the bundle that `manifest` describes."""
    m = manifest
    parts = [
        f"# Network of space `{m.space.name}`, split for system `{m.system.name}`",
        "Made by `splitkit export`; `manifest.json` holds the same in full and the SHA-256 of every file.",
        "The compiled halves are code: run them only if you trust where this comes from. If it was signed "
        "(`manifest.sig`), `load_bundle(path, verify_key=...)` and `--verify-key` of the programs check by whom.",
        _table(m),
        f"Pixels are {m.pixels}. Resizing, normalisation and the link's quantisation are inside the graphs.",
        "## Sensor",
        *_sensor(m),
        "## Aggregator",
        *_aggregator(m),
        "## Both, over a socket",
        "The frames on the wire are described in splitkit's `docs/wire.md`, for peers written in any language.",
        _run(m),
        *_on_devices(m),
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _table(m: Manifest) -> str:
    link = m.link
    meaning = f", value = (code - {link.zero_point}) x {link.scale:.6g}" if link.dtype == "uint8" and m.sensor else ""
    rows = [
        ("views", str(m.views)),
        ("image", _tensor(m.image.dtype, m.image.shape)),
        ("link, per view", f"{_tensor(link.dtype, link.shape)}, {link.payload_bytes} bytes{meaning}"),
        ("scores", _tensor(m.scores.dtype, m.scores.shape)),
        *([("classes, by score", _class_names(m.classes))] if m.classes else []),
        ("sensor", _half(m.sensor, "sends its image as it is")),
        ("aggregator", _half(m.aggregator, "receives the scores, computes nothing")),
    ]
    rows += [(f"agrees in {v.runtime}", f"top-1 {v.top1_agreement:.2%} of {v.frames} frames") for v in m.verification]
    return "\n".join(["| | |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in rows)])


def _sensor(m: Manifest) -> list[str]:
    if m.sensor is None:
        return ["The sensor computes nothing: it sends its image, so there is no `sensor.onnx`."]
    compiled = 'sensor = bundle.open("sensor")\nsent = sensor(images[0, 0][None])\nprint(sent.dtype, sent.shape)'
    plain = (
        f'(sent,) = session.run(None, {{"{m.sensor.input.name}": images[0, 0][None]}})\nprint(sent.dtype, sent.shape)'
    )
    return [
        _COMPILED.format(title="Sensor", body=compiled),
        *c_example(m.sensor, "Sensor"),
        _ONNX.format(title="Sensor", file=m.sensor.onnx, body=plain),
    ]


def _aggregator(m: Manifest) -> list[str]:
    if m.aggregator is None:
        return ["The sensor sends the scores: nothing is left to compute, so there is no `aggregator.onnx`."]
    if m.sensor is None:
        given = "received = images[0]"
        plain = given
    else:
        given = (
            'sensor = bundle.open("sensor")\n'
            "received = np.concatenate([sensor(view[None]) for view in images[0]])  # arrives over the link"
        )
        plain = (
            'sensor = onnxruntime.InferenceSession("sensor.onnx", providers=["CPUExecutionProvider"])\n'
            f'sent = [sensor.run(None, {{"{m.sensor.input.name}": view[None]}})[0] for view in images[0]]\n'
            "received = np.concatenate(sent)  # arrives over the link"
        )
    compiled = (
        f"{given}\n"
        'aggregator = bundle.open("aggregator")\n'
        "computed = aggregator(received)\n"
        "print(computed.argmax(), scores[0].argmax())"
    )
    plain += f'\n(computed,) = session.run(None, {{"{m.aggregator.input.name}": received}})\nprint(computed.argmax())'
    imports = "" if m.sensor is None else "import numpy as np\n"
    block = _COMPILED.format(title="Aggregator", body=compiled)
    return [
        block.replace("from splitkit.bundle", f"{imports}from splitkit.bundle", 1),
        *c_example(m.aggregator, "Aggregator"),
        _ONNX.format(title="Aggregator", file=m.aggregator.onnx, body=plain),
    ]


def c_example(half: HalfRecord, title: str) -> list[str]:
    """C that calls a half compiled without a runtime; nothing for exporters whose halves are loaded."""
    exporter = get_exporter(half.exporter)
    if not isinstance(exporter, CallableFromC):
        return []
    source, result = (TensorSpec(t.name, t.shape, t.dtype) for t in (half.input, half.output))
    return [exporter.c_example(title, half.device, half.artifact, source, result)]


def _run(m: Manifest) -> str:
    commands = [
        f"python -P -m splitkit.runtime.sensor . --connect 127.0.0.1:4747 --view {view}" for view in range(m.views)
    ]
    sensors = "the sensor" if m.views == 1 else f"the {m.views} sensors"
    return _RUN.format(sensors=sensors, commands="\n".join(commands))


def _on_devices(m: Manifest) -> list[str]:
    """How to start the halves that were compiled into an executable for another Linux machine."""
    blocks = []
    if m.aggregator is not None and m.system.aggregator.kind == RUNNER_KIND:
        arguments = "--listen ADDRESS:4747 --frames 16 --insecure"
        blocks.append(_DEVICE.format(device=m.aggregator.device, side="aggregator", arguments=arguments))
    if m.sensor is not None and m.system.sensor.kind == RUNNER_KIND:
        arguments = "--images FRAMES.raw --connect ADDRESS:4747 --view 0"
        blocks.append(_DEVICE.format(device=m.sensor.device, side="sensor", arguments=arguments))
    if not blocks:
        return []
    about = (
        "Either side may be replaced by its Python program above. `ADDRESS` is the aggregator's numeric address "
        "(`[...]` around IPv6); `--insecure` says that everybody on that network is trusted, and splitkit's "
        "`docs/wire.md` how to do without. `FRAMES.raw` holds images of one view one after the other, "
        f"{_tensor(m.image.dtype, m.image.shape)} each; `./runner --help` lists the other commands."
    )
    return ["## On the devices", *blocks, about]


def _class_names(classes: Sequence[str], most: int = 20) -> str:
    """The first names as code, whatever is in them; the manifest has all."""
    names = [shown_name(name).replace("`", "'").replace("|", "\\|") for name in classes[:most]]
    more = f" and {len(classes) - most} more in `manifest.json`" if len(classes) > most else ""
    return ", ".join(f"{label} `{name}`" for label, name in enumerate(names)) + more


def _half(record: HalfRecord | None, absent: str) -> str:
    if record is None:
        return absent
    arena = f"arena {record.arena_bytes:,} bytes" if record.arena_bytes else "arena not stated by this runtime"
    return (
        f"`{record.onnx}`, {record.macs:,} MACs; compiled for `{record.device}` by {record.exporter} "
        f"{record.exporter_version}: {arena}, weights {record.weight_bytes:,} bytes"
    )


def _tensor(dtype: str, shape: tuple[int, ...]) -> str:
    return f"{dtype} {' x '.join(str(size) for size in shape)}"
