"""What all commands share: global options, logging, the list of experiments and the exit code."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from discern.cli.logs import LOG_FILE, set_up_logging, start_process
from discern.cli.quiet_tensorflow import import_tensorflow

if TYPE_CHECKING:
    from discern.workflows.experiment import Experiment
    from discern.workflows.side_by_side import Outcome

Command = TypeVar("Command", bound=Callable[..., Any])

_WITHOUT_TENSORFLOW = {"process", "optimize", "undo"}  # in this process
PARAMETERS = click.argument("params", type=click.Path(path_type=Path), metavar="PARAMS")


SEED = click.option(
    "--seed",
    type=click.IntRange(0, 2**31 - 1),
    metavar="N",
    help="Take N in place of the seed in PARAMS: the same seed gives the same bits.",
)


@dataclass
class Session:
    """Global options, from before and after the verb."""

    verbose: int = 0
    quiet: bool = False
    debug: bool = False

    @property
    def verbosity(self) -> int:
        """-1 for warnings only, 0 for progress, more for details."""
        return -1 if self.quiet else self.verbose


def global_options(command: Command) -> Command:
    """Add the global options to a command or to the group; both places count."""

    def remember(context: click.Context, parameter: click.Parameter, value: Any) -> None:
        session = context.ensure_object(Session)
        name = str(parameter.name)
        if value:
            setattr(session, name, getattr(session, name) + value if name == "verbose" else value)

    shared: dict[str, Any] = {"expose_value": False, "callback": remember}
    for option in (
        click.option(
            "--debug", is_flag=True, help="First experiment only, in this process; show tracebacks.", **shared
        ),
        click.option("-q", "--quiet", is_flag=True, help="Warnings and errors only.", **shared),
        click.option("-v", "--verbose", count=True, help="More details; twice: of the libraries too.", **shared),
    ):
        command = option(command)
    return command


def run_mode(
    session: Session, experiments: "Sequence[Experiment]", mode: str, *, online: bool = False, **arguments: Any
) -> "list[Outcome]":
    """Run one mode for every experiment.

    Args:
        session: Global options.
        experiments: From :func:`open_experiments`.
        mode: What to run.
        online: Use the runner of online training.
        **arguments: Arguments of the mode.
    """
    from discern.workflows.readiness import why_not
    from discern.workflows.runner import DISCERNRunner, OnlineDISCERNRunner

    with_tensorflow = mode not in _WITHOUT_TENSORFLOW
    refused = len(experiments) == 1 and why_not(experiments[0], mode, arguments) is not None
    if with_tensorflow and len(experiments) == 1 and not refused:
        import_tensorflow(session.verbosity)

    runner = (OnlineDISCERNRunner if online else DISCERNRunner)(debug=session.debug)
    runner.start_process = start_process(session.verbosity, log_file(experiments), with_tensorflow)
    return runner(mode, experiments, **arguments)


def open_experiments(
    session: Session, params: Path, seed: int | None = None, *, of_split: bool = False
) -> "list[Experiment]":
    """Read the parameters and start logging beside the experiments; with ``--debug`` only the first is returned.

    Args:
        session: Global options.
        params: The parameters file.
        seed: Replaces ``training.seed`` when given.
        of_split: It then replaces ``input_ds.split.split_seed``, too.
    """
    experiments = list_experiments(session, params)
    set_up_logging(session.verbosity, log_file(experiments))
    return experiments if seed is None else [one.with_seed(seed, of_split) for one in experiments]


def list_experiments(session: Session, params: Path) -> "list[Experiment]":
    """Read the parameters without writing anything; with ``--debug`` only the first experiment is returned."""
    set_up_logging(session.verbosity)
    from discern.workflows.experiment import read_experiments

    experiments = read_experiments(params)
    return experiments[:1] if session.debug else experiments


def log_file(experiments: "Sequence[Experiment]") -> Path:
    """Return the log file of the folder that holds the experiments."""
    return experiments[0].experiments_dir / LOG_FILE


def exit_with(outcomes: "Sequence[Outcome]") -> None:
    """End with the code of the first experiment that failed."""
    failed = [outcome for outcome in outcomes if outcome.exit_code]
    if failed:
        if len(outcomes) > 1:
            click.echo(
                f"{len(failed)} of {len(outcomes)} experiments failed: {', '.join(o.name for o in failed)}", err=True
            )
        raise SystemExit(failed[0].exit_code)
