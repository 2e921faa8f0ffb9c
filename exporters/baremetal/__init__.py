"""C and an object file for devices without an operating system. Importing this imports no compiler."""

from splitkit.exporters.baremetal.exporter import BareMetalExporter
from splitkit.exporters.baremetal.memory import MEMORY_FILE, LayerMemory, MemoryReport, check_budget

__all__ = ["MEMORY_FILE", "BareMetalExporter", "LayerMemory", "MemoryReport", "check_budget"]
