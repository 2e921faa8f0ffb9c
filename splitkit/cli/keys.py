"""`splitkit keys`."""

from pathlib import Path

import click

from splitkit.cli.console import print_json, stderr
from splitkit.cli.options import JSON


@click.command("keys")
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@JSON
def command(directory: Path, as_json: bool) -> None:
    """Make the keys of one system: an authority, and certificates for its sensors and its aggregator.

    With them the two halves talk in TLS and to nobody else. Nothing that is there is replaced; key files are readable
    by their owner alone. docs/wire.md says what this protects.

    \b
    Example:  splitkit keys keys
    """
    from splitkit.keys import write_keys

    files = write_keys(directory)
    if as_json:
        described = [{"name": f.name, "secret": f.secret, "about": f.about} for f in files]
        print_json({"schema_version": 1, "directory": str(directory), "files": described})
    for file in files:
        stderr.print(f"{directory / file.name}: {file.about}", markup=False, highlight=False, soft_wrap=True)
