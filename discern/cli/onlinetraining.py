"""``discern onlinetraining``."""

from pathlib import Path
from typing import Any

import click

from discern.cli.session import PARAMETERS, SEED, Session, exit_with, global_options, open_experiments, run_mode

FREEZE_MODES = ("none", "conditional", "new-batches")
NEW_ROWS = ("zeros", "mean")


@click.command()
@PARAMETERS
@click.option(
    "--filename",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Raw cells of new batches; may be repeated. Each file may lack some of the model's genes.",
)
@click.option("--batch-column", metavar="COLUMN", help="Column of obs in the new files that names the batch.")
@click.option("--freeze", is_flag=True, help="Train only what the new batches add; old ones stay to the bit.")
@click.option(
    "--freeze-mode",
    type=click.Choice(FREEZE_MODES),
    help="What is not trained: nothing, all that is shared by batches, or all but the new batches (--freeze).",
)
@click.option("--new-rows", type=click.Choice(NEW_ROWS), help="Where weights of new batches start.")
@click.option(
    "--replay",
    type=click.FloatRange(0, 1),
    metavar="FRACTION",
    help="Train on this share of the old cells as well, so that they are not forgotten.",
)
@click.option(
    "--min-gene-overlap",
    type=click.FloatRange(0, 1, min_open=True),
    metavar="FRACTION",
    help="Refuse files with fewer of the model's genes.",
)
@click.option("--max-steps", type=click.IntRange(1), metavar="N", help="Train this many epochs at most.")
@click.option("--allow-non-counts", is_flag=True, help="Accept fractional values, e.g. from ambient RNA removal.")
@click.option("--undo", is_flag=True, help="Take back the last online training instead.")
@SEED
@global_options
@click.pass_obj
def onlinetraining(
    session: Session, params: Path, filename: tuple[Path, ...], seed: int | None, undo: bool, **options: Any
) -> None:
    """Add the batches of files to every trained experiment in PARAMS and go on training.

    What options leave open is taken from training.online of PARAMS.
    """
    _check(filename, undo, options)
    experiments = open_experiments(session, params, seed)
    if undo:
        exit_with(run_mode(session, experiments, "undo", online=True))
        return
    column = options.pop("batch_column")
    files = dict.fromkeys(filename, column)
    exit_with(run_mode(session, experiments, "onlinetraining", online=True, filename=files, **options))


def _check(filename: tuple[Path, ...], undo: bool, options: dict[str, Any]) -> None:
    if undo and (filename or any(options.values())):
        raise click.UsageError("--undo takes back the last online training; give no other option with it.")
    if not undo and not filename:
        raise click.UsageError("Missing option '--filename': the raw cells of new batches. Or --undo.")
    if options["freeze"] and options["freeze_mode"] not in {None, "new-batches"}:
        raise click.UsageError("--freeze is --freeze-mode new-batches; give one of them.")
