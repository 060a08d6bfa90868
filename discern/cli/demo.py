"""``discern demo``."""

from pathlib import Path

import click

from discern.cli.logs import set_up_logging
from discern.cli.quiet_tensorflow import import_tensorflow
from discern.cli.session import Session, global_options


@click.command()
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), default=Path("discern_demo"), show_default=True,
    help="Folder of all files.",
)  # fmt: skip
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Drives thinning and training.")
@global_options
@click.pass_obj
def demo(session: Session, out: Path, seed: int) -> None:
    """Run the whole job on real blood cells that need no download, and show what it recovers.

    Half of 700 cells are thinned to a fifth of their counts and called the shallow batch; the reconstruction is
    compared with the counts that were taken away.
    """
    set_up_logging(session.verbosity)
    import_tensorflow(session.verbosity)
    from discern.workflows.demo import as_table
    from discern.workflows.demo import demo as run

    result = run(out, seed=seed)
    click.echo(f"\n{as_table(result.recoveries)}\n")
    click.echo(f"Reconstructed cells: {result.projected}")
    click.echo(f"Pictures: {', '.join(map(str, result.pictures))}")
    click.echo(f"Finished in {result.seconds:.0f} s.")
