"""``discern doctor``."""

import click

from discern.cli.quiet_tensorflow import import_tensorflow
from discern.cli.session import Session, global_options


@click.command()
@global_options
@click.pass_obj
def doctor(session: Session) -> None:
    """Print versions, devices, threads and memory, and time a matrix product on each device."""
    import_tensorflow(session.verbosity)
    from discern.workflows.doctor import examine

    for name, value in examine():
        click.echo(f"{name:<24} {value}")
