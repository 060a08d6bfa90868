"""``discern onlinetraining``."""

from pathlib import Path

import click

from discern.cli.session import PARAMETERS, SEED, Session, exit_with, global_options, open_experiments, run_mode


@click.command()
@PARAMETERS
@click.option("--filename", required=True, type=click.Path(path_type=Path), help="Raw cells of new batches.")
@click.option("--freeze", is_flag=True, help="Train only what the new batches add.")
@SEED
@global_options
@click.pass_obj
def onlinetraining(session: Session, params: Path, filename: Path, freeze: bool, seed: int | None) -> None:
    """Add the batches of a file to every trained experiment in PARAMS and go on training."""
    experiments = open_experiments(session, params, seed)
    exit_with(run_mode(session, experiments, "onlinetraining", online=True, filename=filename, freeze=freeze))
