"""`splitkit doctor`."""

from dataclasses import asdict

import click
from rich.table import Table
from rich.text import Text

from splitkit.cli.console import print_json, stderr
from splitkit.cli.next_step import say_next
from splitkit.doctor import diagnose


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON on stdout.")
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """Check that this machine has what splitkit needs. Exits 1 if something required is missing.

    \b
    Example:  splitkit doctor
    """
    checks = diagnose()
    if as_json:
        print_json({"schema_version": 1, "checks": [asdict(check) for check in checks]})
    else:
        table = Table(box=None, pad_edge=False)
        for column in ("", "check", "found", "what to do"):
            table.add_column(column, overflow="fold")
        for check in checks:
            bad = Text("missing", "red") if check.required else Text("note", "yellow")
            mark = Text("ok", "green") if check.ok else bad
            table.add_row(mark, check.name, check.detail, "" if check.ok else check.hint)
        stderr.print(table)
    if any(check.required and not check.ok for check in checks):
        ctx.exit(1)
    say_next("demo", carry=False)
