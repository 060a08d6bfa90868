"""``discern schema``."""

import json

import click

from discern.cli.session import global_options


@click.command()
@global_options
def schema() -> None:
    """Print the JSON schema of parameters.json."""
    from discern.config.experiment import ParametersFile

    click.echo(json.dumps(ParametersFile.model_json_schema(), indent=2))
