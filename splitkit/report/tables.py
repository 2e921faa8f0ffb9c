"""Tables for people: fronts, and measured beside predicted."""

from rich.table import Table

from splitkit.search.result import SearchResult


def front_table(result: SearchResult) -> Table:
    """Every point of the merged front and of each system's own, by rising latency."""
    labels = ", ".join(f"{part}: {label}" for part, label in result.labels.items())
    table = Table(title=f"{result.space} on {result.system} ({labels})", caption="* on the front over all systems")
    for column in ("", "runs on", "accuracy", "total us", "sensor", "link", "aggr.", "payload B", "sensor B", "fps"):
        table.add_column(column, justify="left" if column in ("", "runs on") else "right")
    for index, point in enumerate(result.points):
        table.add_row(
            f"{index}{'*' if index in result.merged else ''}",
            point.placement,
            f"{point.accuracy:.1%}",
            f"{point.total_us:.0f}",
            f"{point.sensor_us:.0f}",
            f"{point.link_us:.0f}",
            f"{point.aggregator_us:.0f}",
            str(point.payload_bytes),
            str(point.peak_sensor_bytes),
            f"{point.throughput_per_s:.0f}",
        )
    return table
