"""A project's file, as the commands read it, and the network it would begin with."""

from pathlib import Path

import splitkit as sk

Path("splitkit.toml").write_text('space = "tiny"\nsystem = "hmd"\n\n[constraints]\npayload_bytes = 512.0\n')
project: sk.Project = sk.load_project()
space = project.load_space()
limits: sk.Constraints = project.search_constraints(project.load_system())
print(limits)
largest = sk.describe(space, space.largest(4))
print(f"largest network: {largest.macs('sensor'):,} MACs on the sensor, {largest.payload_bytes} bytes a frame")
