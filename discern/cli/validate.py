"""``discern validate``."""

from pathlib import Path
from textwrap import indent

import click

from discern.cli.session import PARAMETERS, Session, exit_with, global_options, list_experiments


@click.command()
@PARAMETERS
@click.option("--allow-non-counts", is_flag=True, help="Accept values that are not whole numbers.")
@global_options
@click.pass_obj
def validate(session: Session, params: Path, allow_non_counts: bool) -> None:
    """Check PARAMS and its inputs without running anything: what would be kept, how long it may take."""
    from discern.workflows.side_by_side import Outcome
    from discern.workflows.validate import validate as check

    outcomes = []
    for experiment in list_experiments(session, params):
        report = check(experiment, allow_non_counts=allow_non_counts)
        click.echo(f"{experiment.name}:")
        for line in report.lines:
            click.echo(f"  {line}")
        for fault in report.faults:
            click.secho(indent(f"FAULT {fault}", "  "), fg="red")
        exit_code = report.exit_code
        outcomes.append(Outcome(experiment.name, fault="; ".join(report.faults), exit_code=exit_code))
    if not any(outcome.exit_code for outcome in outcomes):
        click.echo("Everything is ready to process.")
    exit_with(outcomes)
