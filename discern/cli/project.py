"""``discern project``."""

from pathlib import Path

import click

from discern.cli.session import PARAMETERS, Session, exit_with, global_options, open_experiments, run_mode


@click.command()
@PARAMETERS
@click.option(
    "--metadata",
    multiple=True,
    metavar="COLUMN:VALUE",
    help="Decode into the average batch of the cells with this value; 'COLUMN:' for every value's own average. Repeatable.",
)
@click.option("--all-batches", is_flag=True, help="One projection to every batch.")
@click.option(
    "--filename", type=click.Path(path_type=Path), help="Another preprocessed h5ad in place of the experiment's own."
)
@click.option("--store-sigmas", is_flag=True, help="Keep the latent log standard deviations.")
@global_options
@click.pass_obj
def project(
    session: Session,
    params: Path,
    metadata: tuple[str, ...],
    all_batches: bool,
    filename: Path | None,
    store_sigmas: bool,
) -> None:
    """Decode the cells of every trained experiment in PARAMS as if sequenced in other batches."""
    from discern.projection.targets import Target

    outcomes = run_mode(
        session,
        open_experiments(session, params),
        "project",
        targets=[Target.parse(text) for text in metadata],
        all_batches=all_batches,
        filename=filename,
        store_sigmas=store_sigmas,
    )
    exit_with(outcomes)
