"""``discern process``."""

import sys
from pathlib import Path

import click

from discern.cli.session import PARAMETERS, SEED, Session, exit_with, global_options, open_experiments, run_mode
from discern.errors import ExperimentError


class _Address(click.ParamType):
    """Where a Ray cluster is; a file name means that PARAMS was taken for the address."""

    name = "address"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the address."""
        if Path(value).exists() or value.endswith(".json"):
            self.fail(f"'{value}' is no address. Write PARAMS first (discern process {value} --ray), or --ray=ADDRESS.")
        return value


@click.command()
@PARAMETERS
@click.option("--force", is_flag=True, help="Replace earlier processed data without asking.")
@click.option("--copy-original", is_flag=True, help="Copy the raw inputs into the experiment folder.")
@click.option("--without-tfrecords", is_flag=True, help="Write no training records.")
@click.option("--allow-non-counts", is_flag=True, help="Accept values that are not whole numbers.")
@click.option(
    "--ray",
    type=_Address(),
    is_flag=False,
    flag_value="local",
    metavar="[ADDRESS]",
    help="Work on a Ray cluster, e.g. --ray=HOST:PORT; without ADDRESS on a local one. Its machines must see the files "
    "under the same names.",
)
@SEED
@global_options
@click.pass_obj
def process(
    session: Session,
    params: Path,
    force: bool,
    copy_original: bool,
    without_tfrecords: bool,
    allow_non_counts: bool,
    ray: str | None,
    seed: int | None,
) -> None:
    """Read the raw inputs of every experiment in PARAMS and write its folder."""
    experiments = open_experiments(session, params, seed, of_split=True)
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
        ray=ray,
    )
    exit_with(outcomes)
