"""``discern``: the group of commands, and how every error ends."""

import errno
import logging
import os
import sys
import traceback
from typing import Any

import click

from discern import __version__
from discern.cli.demo import demo
from discern.cli.doctor import doctor
from discern.cli.evaluate import evaluate
from discern.cli.export_experiment import export
from discern.cli.import_experiment import import_
from discern.cli.onlinetraining import onlinetraining
from discern.cli.optimize import optimize
from discern.cli.process import process
from discern.cli.project import project
from discern.cli.report import report
from discern.cli.schema import schema
from discern.cli.session import Session, global_options
from discern.cli.train import train
from discern.cli.validate import validate
from discern.errors import DiscernError, ExperimentError

_EXIT_INTERRUPTED = 130
_FILE_SYSTEM_FAULTS = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_LOGGER = logging.getLogger(__name__)


class _Commands(click.Group):
    """Knows the published spelling of a verb, and how an interrupted command ends."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return super().get_command(ctx, {"preprocess": "process"}.get(cmd_name, cmd_name))

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("\nInterrupted.", err=True)
            ctx.exit(_EXIT_INTERRUPTED)


@click.group(
    cls=_Commands,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "token_normalize_func": lambda token: token.replace("_", "-"),
        "max_content_width": 100,
    },
)
@click.version_option(__version__, prog_name="discern")
@global_options
def cli() -> None:
    """Reconstruct single-cell expression: decode every cell as if it had been sequenced in the best batch.

    A usual run: discern process parameters.json, discern train parameters.json, discern project parameters.json
    --metadata batch:BEST. No data at hand? discern demo.
    """


for _command in (
    process,
    train,
    project,
    evaluate,
    report,
    optimize,
    onlinetraining,
    export,
    import_,
    validate,
    schema,
    demo,
    doctor,
):
    cli.add_command(_command)


def main() -> None:
    """Run the command line; known errors print their message only."""
    session = Session()
    try:
        cli(obj=session)
    except DiscernError as error:
        _LOGGER.debug("Ended with an error", exc_info=True)
        if session.debug:
            traceback.print_exc()
        else:
            click.secho(f"Error: {error}", err=True, fg="red" if sys.stderr.isatty() else None)
        sys.exit(error.exit_code)
    except OSError as error:
        _LOGGER.debug("Ended with an error of the file system", exc_info=True)
        if session.debug or error.errno not in _FILE_SYSTEM_FAULTS:
            raise
        click.secho(f"Error: {error}. Check that the folder can be written and that the disk has room.", err=True)
        _end_despite_hdf5(ExperimentError.exit_code)
    except Exception:
        _LOGGER.debug("Ended with an unexpected error", exc_info=True)
        raise


def _end_despite_hdf5(exit_code: int) -> None:
    """End; at once when HDF5 still holds a file that it could not write, for it would crash over it at the end."""
    h5py = sys.modules.get("h5py")
    if h5py is None or not h5py.h5f.get_obj_count(h5py.h5f.OBJ_ALL, h5py.h5f.OBJ_FILE):
        sys.exit(exit_code)
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_code)
