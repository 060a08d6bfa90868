"""``discern project``."""

from pathlib import Path

import click

from discern.cli.session import PARAMETERS, SEED, Session, exit_with, global_options, open_experiments, run_mode


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
@click.option(
    "--layers",
    help="Which of estimated_counts, estimated_dropouts and posterior_counts to write, separated by commas, or 'none'; "
    "all by default. posterior_counts is estimated_counts corrected by what the cell's own counts say beyond its latent code.",
)
@click.option(
    "--genes",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write X and layers of these genes only, one name per line. raw still holds all genes; see --no-raw.",
)
@click.option(
    "--dtype",
    type=click.Choice(["float32", "float16"]),
    default="float32",
    show_default=True,
    help="Type of the layers. X stays float32: scipy has no sparse float16.",
)
@click.option(
    "--latent-only",
    is_flag=True,
    help="Write latent codes only, to latent.h5ad, and decode nothing. They are the same for every target: give none.",
)
@click.option("--no-raw", is_flag=True, help="Leave out raw, the input as it was.")
@SEED
@global_options
@click.pass_obj
def project(
    session: Session,
    params: Path,
    metadata: tuple[str, ...],
    all_batches: bool,
    filename: Path | None,
    store_sigmas: bool,
    layers: str | None,
    genes: Path | None,
    dtype: str,
    latent_only: bool,
    no_raw: bool,
    seed: int | None,
) -> None:
    """Decode the cells of every trained experiment in PARAMS as if sequenced in other batches."""
    from discern.projection.content import ProjectedContent, parse_layers, read_gene_list
    from discern.projection.targets import Target

    content = ProjectedContent(
        layers=None if layers is None else parse_layers(layers),
        genes=None if genes is None else read_gene_list(genes),
        dtype=dtype,
        raw=not no_raw,
        latent_only=latent_only,
    )
    outcomes = run_mode(
        session,
        open_experiments(session, params, seed),
        "project",
        targets=[Target.parse(text) for text in metadata],
        all_batches=all_batches,
        filename=filename,
        store_sigmas=store_sigmas,
        content=content,
    )
    exit_with(outcomes)
