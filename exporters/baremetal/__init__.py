"""C and an object file for devices without an operating system. Importing this imports no compiler."""

from splitkit.exporters.baremetal.exporter import BareMetalExporter

__all__ = ["BareMetalExporter"]
