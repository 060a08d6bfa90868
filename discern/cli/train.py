"""``discern train``."""

from pathlib import Path

import click

from discern.cli.session import PARAMETERS, Session, exit_with, global_options, open_experiments, run_mode


@click.command()
@PARAMETERS
@global_options
@click.pass_obj
def train(session: Session, params: Path) -> None:
    """Train every experiment in PARAMS; go on where earlier training stopped."""
    exit_with(run_mode(session, open_experiments(session, params), "train"))
