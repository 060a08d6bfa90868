"""``discern export``."""

from pathlib import Path

import click

from discern.cli.quiet_tensorflow import import_tensorflow
from discern.cli.session import PARAMETERS, Session, global_options, list_experiments
from discern.errors import ParametersError


@click.command("export")
@PARAMETERS
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False), metavar="OUT.zip")
@click.option("--without-cells", is_flag=True, help="Leave out all that tells of single cells, and names of files.")
@click.option("--experiment", "name", metavar="NAME", help="Which one, when PARAMS holds several.")
@click.option("--force", is_flag=True, help="Replace OUT.zip.")
@global_options
@click.pass_obj
def export(session: Session, params: Path, out: Path, without_cells: bool, name: str | None, force: bool) -> None:
    """Write one experiment of PARAMS into a file, e.g. a reference that others add cells to.

    Projected cells, provenance and backups stay behind. Read it back with `discern import`.
    """
    experiments = {one.name: one for one in list_experiments(session, params)}
    wanted = next(iter(experiments)) if name is None and len(experiments) == 1 else name
    if wanted is None or wanted not in experiments:
        told = "holds several experiments" if wanted is None else f"holds no experiment '{wanted}'"
        raise ParametersError(f"{params} {told}. Give --experiment with one of: {', '.join(experiments)}.")
    if without_cells:
        import_tensorflow(session.verbosity)
    from discern.workflows.exchange import export_experiment

    export_experiment(experiments[wanted], out, with_cells=not without_cells, force=force)
