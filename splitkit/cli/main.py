"""The `splitkit` command. Each command is one module, imported only when it is used, so that `--help` stays instant."""

import os
import sys
from contextlib import ExitStack, suppress
from importlib import import_module
from typing import Any

import click

from splitkit import __version__
from splitkit.errors import ConfigError, SplitkitError
from splitkit.home import lent_home
from splitkit.processes import Stopped, ignore_stop_signals, stop_signals
from splitkit.scratch import temporary_files

COMMANDS = {
    "init": "Write a commented splitkit.toml.",
    "train": "Train the supernets.",
    "bench": "Measure kernels on a target, or an exported bundle.",
    "search": "Search architecture, split and compression together.",
    "baselines": "Compare what a search found with every other way.",
    "report": "Draw what a search found: a page and pictures.",
    "export": "Export a searched network as a bundle: both halves, compiled and verified.",
    "partition": "Find the best place to cut an ONNX model that you already have.",
    "cut": "Cut an ONNX model in two where you say.",
    "demo": "Run the whole loop on embedded data.",
    "profiles": "List and show device, link and system profiles.",
    "keys": "Make the keys with which sensors and aggregator prove who they are.",
    "doctor": "Check that this machine has what splitkit needs.",
}


class LazyGroup(click.Group):
    """A group that knows its commands' one-line help without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"splitkit.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with stop_signals(), ExitStack() as stack:
                with suppress(OSError):  # without room for temporary files, commands that need none still work
                    stack.enter_context(lent_home(stack.enter_context(temporary_files())))
                return super().invoke(ctx)
        except Stopped as stopped:
            ignore_stop_signals()  # an impatient second one finds nothing left to stop
            click.echo(f"splitkit: {stopped}; what was finished is kept, run the same command to go on", err=True)
            ctx.exit(stopped.exit_code)
        except BrokenPipeError:
            sys.stderr.close()
            ctx.exit(1)
        except UnicodeEncodeError as error:  # compilers take paths as UTF-8, and nothing else is not that
            if ctx.params.get("verbose"):
                raise
            click.echo(f"splitkit: {error.object!r}: a path that is not UTF-8 cannot be used here", err=True)
            ctx.exit(ConfigError.exit_code)
        except (SplitkitError, OSError) as error:
            if ctx.params.get("verbose"):
                raise
            click.echo(f"splitkit: {_failure(error) if isinstance(error, OSError) else error}", err=True)
            ctx.exit(1 if isinstance(error, OSError) else error.exit_code)


def _failure(error: OSError) -> str:
    """No room on the disk, no permission: what was finished before is kept."""
    names = [str(name) for name in (error.filename, error.filename2) if name is not None]
    return f"{' -> '.join(names) or 'writing failed'}: {error.strerror or error}"


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="splitkit")
@click.option("-v", "--verbose", is_flag=True, help="Show a traceback when something fails.")
def main(verbose: bool) -> None:
    """Design, split, compile and deploy networks across camera sensors and an aggregator.

    \b
    Start here:  splitkit demo
    Or:          splitkit init && splitkit train && splitkit bench --target sensor && splitkit search
    """
    # OpenMP reads it when torch is imported: threads that wait are to sleep, not to hold a core that another needs.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


if __name__ == "__main__":
    main()
