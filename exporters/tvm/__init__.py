"""TVM: splitkit's own schedules, TVM's TensorIR and LLVM code generator. Importing this imports no compiler."""

from splitkit.exporters.tvm.exporter import TvmExporter

__all__ = ["TvmExporter"]
