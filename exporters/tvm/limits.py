"""What the default lowering must not be asked for: where TVM's importer is wrong, or would end in its own words."""

from splitkit.exporters.tvm.graph import Graph, Node


def unsupported(node: Node, graph: Graph) -> str:
    """Why a node cannot be left to the default lowering; empty if it can."""
    return ""
