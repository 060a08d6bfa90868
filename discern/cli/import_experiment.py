"""``discern import``."""

from pathlib import Path

import click

from discern.cli.logs import set_up_logging
from discern.cli.session import Session, global_options


@click.command("import")
@click.argument("archive", type=click.Path(path_type=Path), metavar="IN.zip")
@click.option(
    "--into", type=click.Path(path_type=Path, file_okay=False), default=Path("experiments"), show_default=True,
    help="Parent of the new folder.",
)  # fmt: skip
@global_options
@click.pass_obj
def import_(session: Session, archive: Path, into: Path) -> None:
    """Unpack what `discern export` wrote into a new folder, after checking every byte of it."""
    set_up_logging(session.verbosity)
    from discern.workflows.exchange import import_experiment

    folder = import_experiment(archive, into).folder
    if folder.best_model.exists():
        click.echo(
            f"Add cells: discern onlinetraining {into / folder.name / folder.parameters_file.name} --filename FILE"
        )
