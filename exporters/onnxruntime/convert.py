"""From an ONNX graph to ONNX Runtime's own format, optimised ahead of time, and the operators that it needs.

An `.ort` file is what a minimal build of the runtime loads: one without the ONNX parser and the graph optimiser, with
no other operators than `required_operators.config` lists (`build.sh --minimal_build --include_ops_by_config FILE`; "ORT
model format" in ONNX Runtime's documentation).
"""

import logging
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from splitkit.compiler.target import CompileTarget
from splitkit.errors import ModelError

if TYPE_CHECKING:
    import onnx

MODEL_FILE = "model.ort"
OPERATORS_FILE = "required_operators.config"

THIS_MACHINE_ONLY = ["NchwcTransformer"]
"""Optimisations whose result fits x86-64 only, blocked layouts; the runtime's own converter leaves out the same."""


def convert(model: "onnx.ModelProto", target: CompileTarget, directory: Path) -> dict[str, list[int | str | None]]:
    """Write `model.ort` and `required_operators.config` into `directory`, which exists; returns the outputs' shapes.

    For this machine every optimisation is applied; for another target those that run on any processor.

    Raises:
        ModelError: the runtime cannot load the graph.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3
    options.optimized_model_filepath = str(directory / MODEL_FILE)
    options.add_session_config_entry("session.save_model_format", "ORT")
    portable = target.spec.get("kind") != "host"
    try:
        session = onnxruntime.InferenceSession(
            model.SerializeToString(),
            options,
            providers=["CPUExecutionProvider"],
            disabled_optimizers=THIS_MACHINE_ONLY if portable else None,
        )
    except Exception as error:  # onnxruntime's exceptions share no public base class
        reason = str(error).splitlines()[0]
        raise ModelError(f"ONNX graph {model.graph.name!r}: ONNX Runtime cannot load it: {reason}") from error
    (directory / OPERATORS_FILE).write_text(required_operators(directory / MODEL_FILE), encoding="utf-8")
    return {output.name: output.shape for output in session.get_outputs()}


def required_operators(ort_file: Path) -> str:
    """The configuration of a minimal build that runs this file: operators and their types, by domain and opset."""
    root = logging.getLogger()
    before = root.level, root.handlers[:]
    from onnxruntime.tools.ort_format_model import create_config_from_models  # sets the root logger up for itself

    root.level, root.handlers[:] = before
    logging.getLogger("ort_format_model").setLevel(logging.WARNING)
    with TemporaryDirectory(prefix="splitkit-") as scratch:
        config = Path(scratch) / OPERATORS_FILE
        create_config_from_models([ort_file], config, True)
        lines = config.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if line and not line.startswith("#")]  # the comments name this machine's paths
    return "\n".join([f"# Operators of {ort_file.name}, with their types", *kept]) + "\n"
