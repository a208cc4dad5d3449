"""The command ``hpsearch``: a demonstration, a look into journals, and what is installed.

What each subcommand does stands in a module of its own, imported when it is run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

import hpsearch
from hpsearch.cli.terminal import say
from hpsearch.errors import HpsearchError, SearchInterrupted
from hpsearch.report.text import shown_lines

_storage = click.argument("storage", type=click.Path(exists=True, dir_okay=False, path_type=Path))
_study = click.option("--study", "name", metavar="NAME", help="Which of the journal's studies.")
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


class _Failed(click.ClickException):
    exit_code = 2


class _Commands(click.Group):
    """Says what went wrong in one line, without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except HpsearchError as error:
            raise _Failed(shown_lines(error)) from error
        except click.UsageError as error:  # it repeats what was typed, such as a URL
            raise click.UsageError(shown_lines(error.format_message()), error.ctx) from error
        except SearchInterrupted:
            say("\nInterrupted. The same command goes on where it was.", err=True)
            ctx.exit(130)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(hpsearch.__version__, prog_name="hpsearch", message="%(prog)s %(version)s")
def main() -> None:
    """Hyperparameter search with the engine you already trust."""


@main.command()
@click.option(
    "--trials",
    default=12,
    show_default=True,
    type=click.IntRange(min=1),
    help="How many trials in all.",
)
@click.option(
    "--epochs",
    default=8,
    show_default=True,
    type=click.IntRange(min=1),
    help="How long a trial trains.",
)
@click.option("--backend", default="optuna", show_default=True, help="The engine that searches.")
@click.option(
    "--seed",
    default=0,
    show_default=True,
    type=click.IntRange(0, 2**32 - 1),
    help="Makes the search repeatable.",
)
@click.option(
    "--output",
    default="hpsearch-demo",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder for journal, report and checkpoints.",
)
def demo(trials: int, epochs: int, backend: str, seed: int, output: Path) -> None:
    """Run a real Trainer search, in a few minutes.

    A small vision transformer learns handwritten digits, on a CPU. Interrupted and started again
    with the same --output, the search goes on where it was.
    """
    from hpsearch.cli.diagnosis import version

    needed = ("accelerate", "plotly", "scikit-learn", "torch", "transformers")
    absent = [package for package in needed if version(package) is None]
    if absent:
        raise HpsearchError(
            f"the demo needs {', '.join(absent)}. Run: pip install 'hpsearch[demo]'"
        )
    from hpsearch.report import files

    files.check(output / "report.html", files.PAGE)
    from hpsearch.cli import demonstration as program

    program.main(trials=trials, epochs=epochs, backend=backend, seed=seed, output=output)


@main.command()
@_storage
@_study
@click.option(
    "--output",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    help="The page to write; without it, the journal's name ending in .html.",
)
def report(storage: Path, name: str | None, output: str | None) -> None:
    """Write a study as one HTML page.

    STORAGE is the journal, such as study.db.
    """
    from hpsearch.report import write
    from hpsearch.storage.journal import load

    study = load(storage, name)
    say(write(study, storage.with_suffix(".html") if output is None else output))


@main.command()
@_storage
@_study
@_json
@click.option("--all", "everything", is_flag=True, help="Show every trial of a large study too.")
def show(storage: Path, name: str | None, *, as_json: bool, everything: bool) -> None:
    """Show a study: trials, best run, failures.

    STORAGE is the journal, such as study.db. Where it has several studies and none is named, they
    are listed. Of a study with more than 20 trials the best 20 are shown.
    """
    from hpsearch.cli.studies import print_studies, print_study
    from hpsearch.storage.journal import load, names

    known = names(storage)
    if name is None and len(known) != 1:
        print_studies([load(storage, item) for item in known], as_json=as_json)
        return
    study = load(storage, name)
    if as_json:
        click.echo(study.to_json())
    else:
        print_study(study, everything=everything)


@main.command()
@_json
def backends(*, as_json: bool) -> None:
    """List the backends and what each can do."""
    from hpsearch.cli.diagnosis import print_backends

    print_backends(as_json=as_json)


@main.command()
@click.argument("backends", metavar="BACKEND...", nargs=-1, required=True)
@click.option("--dry-run", is_flag=True, help="Print the commands and run none.")
def install(backends: tuple[str, ...], *, dry_run: bool) -> None:
    """Install the engines of backends that pip cannot.

    BACKEND is the name of an installed backend, such as sigopt or wandb, whose own engine pins
    versions that no longer install. The packages go into the environment of this command.
    """
    from hpsearch.cli import installers

    installers.install([installers.engine_of(name) for name in backends], dry_run=dry_run)


@main.command()
@_json
@click.pass_context
def doctor(ctx: click.Context, *, as_json: bool) -> None:
    """Check versions and plugins.

    Exits with 1 if a plugin is broken.
    """
    from hpsearch.cli.diagnosis import print_diagnosis

    ctx.exit(0 if print_diagnosis(as_json=as_json) else 1)
