"""``discern train``."""

from pathlib import Path

import click

from discern.cli.session import PARAMETERS, SEED, Session, exit_with, global_options, open_experiments, run_mode


@click.command()
@PARAMETERS
@click.option("--restart", is_flag=True, help="Begin anew; the earlier job folder is kept in backup/1, backup/2, ...")
@SEED
@global_options
@click.pass_obj
def train(session: Session, params: Path, restart: bool, seed: int | None) -> None:
    """Train every experiment in PARAMS; go on where earlier training stopped or was interrupted."""
    exit_with(run_mode(session, open_experiments(session, params, seed), "train", restart=restart))
