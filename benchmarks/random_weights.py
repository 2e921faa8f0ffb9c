"""Networks of torch with random weights, as ONNX."""

import io

import onnx
import torch
from torch import Tensor, nn


def randomise(module: nn.Module) -> None:
    """Give layers weights that keep the variance of activations, and batch norms statistics other than 0 and 1."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.normal_(layer.bias, 0.0, 0.2)
        elif isinstance(layer, nn.BatchNorm2d):
            for tensor, low, high in ((layer.weight, 0.7, 1.3), (layer.running_var, 0.6, 1.6)):
                nn.init.uniform_(tensor, low, high)  # type: ignore[arg-type]
            for tensor in (layer.bias, layer.running_mean):
                nn.init.normal_(tensor, 0.0, 0.2)  # type: ignore[arg-type]


def exported(module: nn.Module, pixels: int) -> onnx.ModelProto:
    """A module with random weights through torch's exporter; one image, one output `result`."""
    return exported_for(module, torch.randn(1, 3, pixels, pixels))


def exported_for(module: nn.Module, example: Tensor) -> onnx.ModelProto:
    """The same for any one input, called `image` whatever it is."""
    module = module.eval()
    randomise(module)
    program = torch.onnx.export(
        module, (example,), dynamo=True, input_names=["image"], output_names=["result"], verbose=False
    )
    assert program is not None
    saved = io.BytesIO()
    program.save(saved)
    return onnx.load_model_from_string(saved.getvalue())
