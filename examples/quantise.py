"""A float model in int8: quantised on real images, then compiled like any other."""

import tempfile
from pathlib import Path

import numpy as np
import onnx
import torch
from sklearn.datasets import load_digits
from torch import nn

import splitkit as sk
from splitkit.exporters import CompileTarget, get_exporter


def main() -> None:
    """Train for a moment, quantise, compare."""
    images = torch.tensor(load_digits().images[:, None] / 16, dtype=torch.float32)
    labels = torch.tensor(load_digits().target)
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10),
    )  # fmt: skip
    optimiser = torch.optim.AdamW(network.parameters(), 1e-2)
    for _ in range(150):
        optimiser.zero_grad()
        nn.functional.cross_entropy(network(images[:1500]), labels[:1500]).backward()
        optimiser.step()

    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "float.onnx"
        torch.onnx.export(network.eval(), (images[:1],), file, input_names=["image"], dynamo=False, opset_version=17)
        whole = onnx.load(file)
        int8 = sk.quantise(whole, [{"image": image[None].numpy()} for image in images[:64]])
        exporter, right = get_exporter("tvm"), {}
        for name, model in (("float32", whole), ("int8", int8)):
            artifact = exporter.compile(model, CompileTarget(), Path(scratch) / name)
            session, output = exporter.load(artifact), artifact.outputs[0].name
            scores = [session.run({"image": image[None].numpy()})[output] for image in images[1500:]]
            right[name] = float(np.mean(np.concatenate(scores).argmax(1) == labels[1500:].numpy()))
            print(f"{name}: {right[name]:.1%} of 297 digits, {artifact.memory.weight_bytes:,} bytes of weights")


if __name__ == "__main__":
    main()
