"""``discern schema``."""

import json

import click

from discern.cli.session import global_options


@click.command()
@click.option("--search", is_flag=True, help="That of hyperparameter_search.json instead.")
@global_options
def schema(search: bool) -> None:
    """Print the JSON schema of parameters.json."""
    if search:
        from discern.tuning.config import SearchConfig

        content = SearchConfig.model_json_schema()
    else:
        from discern.config.experiment import ParametersFile

        content = ParametersFile.model_json_schema()
    click.echo(json.dumps(content, indent=2))
