"""``discern report``."""

from pathlib import Path

import click

from discern.cli.logs import set_up_logging
from discern.cli.session import Session, global_options


@click.command()
@click.argument("sources", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PARAMS|FOLDER...")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default="comparison.html",
    show_default=True,
    help="The HTML file to write.",
)
@global_options
@click.pass_obj
def report(session: Session, sources: tuple[Path, ...], out: Path) -> None:
    """Compare evaluated experiments side by side on one page.

    Each PARAMS stands for all of its experiments, each FOLDER for one. Reads what discern evaluate wrote.
    """
    set_up_logging(session.verbosity)
    from discern.workflows.report import report as write_report

    click.echo(f"Written: {write_report(sources, out)}")
