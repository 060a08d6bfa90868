"""``discern process``."""

import sys
from pathlib import Path

import click

from discern.cli.session import PARAMETERS, Session, exit_with, global_options, open_experiments, run_mode
from discern.errors import ExperimentError


@click.command()
@PARAMETERS
@click.option("--force", is_flag=True, help="Replace earlier processed data without asking.")
@click.option("--copy-original", is_flag=True, help="Copy the raw inputs into the experiment folder.")
@click.option("--without-tfrecords", is_flag=True, help="Write no training records.")
@click.option("--allow-non-counts", is_flag=True, help="Accept values that are not whole numbers.")
@global_options
@click.pass_obj
def process(
    session: Session, params: Path, force: bool, copy_original: bool, without_tfrecords: bool, allow_non_counts: bool
) -> None:
    """Read the raw inputs of every experiment in PARAMS and write its folder."""
    experiments = open_experiments(session, params)
    existing = [one for one in experiments if one.folder.processed_file.exists()]
    if existing and not force:
        names = ", ".join(str(one.folder.processed_data) for one in existing)
        if not sys.stdin.isatty():
            raise ExperimentError(f"Processed data exist: {names}. Give --force to replace them.")
        force = click.confirm(f"Replace the processed data of {names}?", abort=True)
    outcomes = run_mode(
        session,
        experiments,
        "process",
        force=force,
        copy_original=copy_original,
        with_tfrecords=not without_tfrecords,
        allow_non_counts=allow_non_counts,
    )
    exit_with(outcomes)
