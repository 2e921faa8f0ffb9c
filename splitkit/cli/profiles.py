"""`splitkit profiles`."""

import click
from rich.table import Table

from splitkit.cli.console import print_json, stderr
from splitkit.cli.next_step import say_next
from splitkit.errors import ConfigError
from splitkit.profiles import load_device, load_link, load_system, profile_names, profile_text
from splitkit.profiles.loading import KINDS, Kind

LOADERS = {"devices": load_device, "links": load_link, "systems": load_system}


@click.group("profiles", invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """List and show device, link and system profiles.

    \b
    Examples:  splitkit profiles
               splitkit profiles show demo-sensor
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_profiles, as_json=False)


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print the profiles as JSON on stdout.")
def list_profiles(as_json: bool) -> None:
    """List the profiles that come with splitkit.

    \b
    Example:  splitkit profiles list
    """
    found = {kind: [LOADERS[kind](name) for name in profile_names(kind)] for kind in KINDS}
    if as_json:
        described = {k: [{"name": p.name, "description": p.description} for p in ps] for k, ps in found.items()}
        print_json({"schema_version": 1, **described})
        return
    table = Table(box=None, pad_edge=False)
    for column in ("kind", "name", "description"):
        table.add_column(column, overflow="fold")
    for kind, profiles in found.items():
        for profile in profiles:
            table.add_row(kind, profile.name, profile.description)
    stderr.print(table)
    say_next("profiles", "show", found["systems"][0].name, carry=False)


@command.command("show")
@click.argument("name")
@click.option("--kind", type=click.Choice(KINDS), help="Needed only where kinds share a name.")
def show(name: str, kind: Kind | None) -> None:
    """Print the TOML of a profile on stdout: copy it to make your own.

    \b
    Example:  splitkit profiles show demo-sensor > my-sensor.toml
    """
    kinds = [kind] if kind else [k for k in KINDS if name in profile_names(k)]
    if len(kinds) > 1:
        raise click.UsageError(f"{name!r} names several profiles: add --kind {' or --kind '.join(kinds)}")
    if not kinds and "." not in name:
        raise ConfigError(f"no profile is called {name!r}", "splitkit profiles list names them")
    text = profile_text(kinds[0] if kinds else "systems", name)
    click.echo(text.rstrip())
