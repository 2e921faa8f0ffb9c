"""The README inside a bundle: what it holds and code that runs each half as it stands."""

import json
from collections.abc import Sequence

from splitkit.bundle import HalfRecord, LinkRecord, Manifest
from splitkit.exporters.protocol import CallableFromC
from splitkit.exporters.registry import get_exporter
from splitkit.labels import code_name

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
        f"# {m.origin.title}, split for system `{m.system.name}`",
        "Made by `splitkit export`; `manifest.json` holds the same in full and the SHA-256 of every file.",
        "The compiled halves are code: run them only if you trust where this comes from. If it was signed "
        "(`manifest.sig`), `load_bundle(path, verify_key=...)` and `--verify-key` of the programs check by whom.",
        _table(m),
        f"Pixels are {m.pixels}. {m.origin.pixels_note}",
        "## Sensor",
        *_sensor(m),
        "## Aggregator",
        *_aggregator(m),
        "## Both, over a socket",
        *_over_a_socket(m),
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _table(m: Manifest) -> str:
    rows = [
        ("views", str(m.views)),
        ("image", _tensor(m.image.dtype, m.image.shape)),
        *((f"link{'' if m.link else ' ' + code_name(link.name)}, per view", _link(m, link)) for link in m.links),
        ("scores", _tensor(m.scores.dtype, m.scores.shape)),
        *([("classes, by score", _class_names(m.classes))] if m.classes else []),
        ("sensor", _half(m.sensor, "sends its image as it is")),
        ("aggregator", _half(m.aggregator, "receives the scores, computes nothing")),
    ]
    for v in m.verification:
        agreement = f"with the whole in {v.reference}: top-1 {v.top1_agreement:.2%} of {v.frames} frames"
        rows.append((f"agrees in {v.runtime}", agreement))
    return "\n".join(["| | |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in rows)])


def _link(m: Manifest, link: LinkRecord) -> str:
    meaning = f", value = (code - {link.zero_point}) x {link.scale:.6g}" if link.dtype == "uint8" and m.sensor else ""
    return f"{_tensor(link.dtype, link.shape)}, {link.payload_bytes} bytes{meaning}"


def _sensor(m: Manifest) -> list[str]:
    if m.sensor is None:
        return ["The sensor computes nothing: it sends its image, so there is no `sensor.onnx`."]
    given = f"{{{_name(m.sensor.inputs[0].name)}: images[0, 0][None]}}"
    if m.link is not None:
        compiled = 'sensor = bundle.open("sensor")\nsent = sensor(images[0, 0][None])\nprint(sent.dtype, sent.shape)'
        plain = f"(sent,) = session.run(None, {given})\nprint(sent.dtype, sent.shape)"
    else:
        compiled = f'sent = bundle.session("sensor").run({given})\nprint(*sent)'
        plain = f"{_named('sent', 'session', given)}\nprint(*sent)"
    return [
        _COMPILED.format(title="Sensor", body=compiled),
        *c_example(m.sensor, "Sensor"),
        _ONNX.format(title="Sensor", file=m.sensor.onnx, body=plain),
    ]


def _aggregator(m: Manifest) -> list[str]:
    if m.aggregator is None:
        return ["The sensor sends the scores: nothing is left to compute, so there is no `aggregator.onnx`."]
    given, plain = _received(m)
    if m.link is not None:
        compiled = 'computed = bundle.open("aggregator")(received)'
        taken = {_name(m.aggregator.inputs[0].name): "received"}
        taken |= {_name(mask.name): f"np.ones({list(mask.shape)}, np.float32)" for mask in m.masks}
        arrays = f"{{{', '.join(f'{name}: {value}' for name, value in taken.items())}}}"
    else:
        result = _name(m.aggregator.outputs[0].name)
        compiled, arrays = f'computed = bundle.session("aggregator").run(received)[{result}]', "received"
    block = _COMPILED.format(
        title="Aggregator", body=f"{given}\n{compiled}\nprint(computed.argmax(), scores[0].argmax())"
    )
    plain += f"\n(computed,) = session.run(None, {arrays})\nprint(computed.argmax())"
    imports = "import numpy as np\n" if "np." in given else ""
    return [
        block.replace("from splitkit.bundle", f"{imports}from splitkit.bundle", 1),
        *c_example(m.aggregator, "Aggregator"),
        _ONNX.format(title="Aggregator", file=m.aggregator.onnx, body=plain),
    ]


def _received(m: Manifest) -> tuple[str, str]:
    """Code that makes what the aggregator takes: by the compiled sensor, and by its graph."""
    if m.sensor is None:
        return "received = images[0]", "received = images[0]"
    name = _name(m.sensor.inputs[0].name)
    load = 'sensor = onnxruntime.InferenceSession("sensor.onnx", providers=["CPUExecutionProvider"])\n'
    if m.link is not None:
        compiled = (
            'sensor = bundle.open("sensor")\n'
            "received = np.concatenate([sensor(view[None]) for view in images[0]])  # arrives over the link"
        )
        plain = (
            f"{load}sent = [sensor.run(None, {{{name}: view[None]}})[0] for view in images[0]]\n"
            "received = np.concatenate(sent)  # arrives over the link"
        )
        return compiled, plain
    if m.views > 1:
        return _received_of_views(m, load, name)
    image = f"image = {{{name}: images[0]}}\n"
    received = "received = sent" if len(m.sensor.outputs) == len(m.links) else "received = sent | image"
    return (
        f'{image}sent = bundle.session("sensor").run(image)\n{received}',
        f"{load}{image}{_named('sent', 'sensor', 'image')}\n{received}",
    )


def _received_of_views(m: Manifest, load: str, image: str) -> tuple[str, str]:
    """The same where several tensors of each view cross: they come one view after the other."""
    assert m.sensor is not None
    assert m.aggregator is not None
    sent = {tensor.name for tensor in m.sensor.outputs}
    taken = ", ".join(
        f"{_name(tensor.name)}: "
        + (f"np.concatenate([each[{_name(link.name)}] for each in sent])" if link.name in sent else "images[0]")
        for tensor, link in zip(m.aggregator.inputs, m.links, strict=True)
    )
    run = _named("view_sent", "sensor", f"{{{image}: view[None]}}")
    return (
        f'sensor = bundle.session("sensor")\nsent = [sensor.run({{{image}: view[None]}}) for view in images[0]]\n'
        f"received = {{{taken}}}",
        f"{load}sent = []\nfor view in images[0]:\n    {run}\n    sent.append(view_sent)\nreceived = {{{taken}}}",
    )


def _named(name: str, session: str, given: str) -> str:
    """Code that runs a session of ONNX Runtime and keeps all that it gives by name."""
    return f"{name} = dict(zip([o.name for o in {session}.get_outputs()], {session}.run(None, {given})))"


def _name(tensor: str) -> str:
    """A tensor's name in Python code, whatever is in it."""
    return json.dumps(tensor).replace("`", "\\u0060")


def c_example(half: HalfRecord, title: str) -> list[str]:
    """C that calls a half compiled without a runtime; nothing for exporters whose halves are loaded."""
    exporter = get_exporter(half.exporter)
    if not isinstance(exporter, CallableFromC) or (len(half.inputs), len(half.outputs)) != (1, 1):
        return []
    source, result = half.inputs[0].spec, half.outputs[0].spec
    return [exporter.c_example(title, half.device, half.artifact, source, result)]


def _over_a_socket(m: Manifest) -> list[str]:
    if m.link is None:
        return ["Several tensors cross the cut, and a view can send one: splitkit's programs do not run this bundle."]
    about = "The frames on the wire are described in splitkit's `docs/wire.md`, for peers written in any language."
    return [about, _run(m), *_on_devices(m)]


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
    names = [code_name(name) for name in classes[:most]]
    more = f" and {len(classes) - most} more in `manifest.json`" if len(classes) > most else ""
    return ", ".join(f"{label} {name}" for label, name in enumerate(names)) + more


def _half(record: HalfRecord | None, absent: str) -> str:
    if record is None:
        return absent
    arena = f"arena {record.arena_bytes:,} bytes" if record.arena_bytes else "arena not stated by this runtime"
    macs = "" if record.macs is None else f", {record.macs:,} MACs"
    precision = ", in int8" if record.precision == "int8" else ""
    return (
        f"`{record.onnx}`{macs}{precision}; compiled for `{record.device}` by {record.exporter} "
        f"{record.exporter_version}: {arena}, weights {record.weight_bytes:,} bytes"
    )


def _tensor(dtype: str, shape: tuple[int, ...]) -> str:
    return f"{dtype} {' x '.join(str(size) for size in shape)}"
