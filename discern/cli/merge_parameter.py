"""``merge_parameter``: one parameters file from several."""

import json
import sys
from pathlib import Path

import click

from discern import __version__
from discern.cli.logs import set_up_logging
from discern.errors import DiscernError


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="A.json B.json ...")
@click.version_option(__version__, prog_name="merge_parameter")
def merge_parameter(files: tuple[Path, ...]) -> None:
    """Print one parameters file with the experiments of all FILES, under the folder they have in common."""
    from discern.config.merging import merge_parameters

    click.echo(json.dumps(merge_parameters(files), indent=4, ensure_ascii=False))


def main() -> None:
    """Run the script; known errors print their message only."""
    set_up_logging(0)
    try:
        merge_parameter()
    except DiscernError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_code)
