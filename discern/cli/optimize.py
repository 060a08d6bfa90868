"""``discern optimize``."""

import re
from pathlib import Path

import click

from discern.cli.session import PARAMETERS, SEED, Session, exit_with, global_options, open_experiments, run_mode

_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)([dhms]))+")
_PART = re.compile(r"(\d+(?:\.\d+)?)([dhms])")


class Duration(click.ParamType):
    """Seconds, or a number with units: 5400, 90m, 1h30m, 2d."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return seconds, > 0."""
        text = str(value).strip().lower()
        if re.fullmatch(r"\d+(\.\d+)?", text):
            seconds = float(text)
        elif _DURATION.fullmatch(text):
            seconds = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
        else:
            self.fail(f"{value!r} is no duration. Give seconds, or a number with units: 90m, 1h30m, 2d.", param, ctx)
        if seconds <= 0:
            self.fail("A duration is longer than nothing.", param, ctx)
        return seconds


@click.command()
@PARAMETERS
@click.option("--time-budget", type=Duration(), metavar="TIME", help="End after so long: seconds, 90m, 1h30m, 2d.")
@click.option(
    "--num-samples", type=click.IntRange(1), metavar="N", help="Trials in all, in place of train_spec.num_samples."
)
@click.option("--concurrent", type=click.IntRange(1), metavar="N", help="Trials at the same time at most.")
@click.option(
    "--address", metavar="HOST:PORT", help="Ray cluster in place of setup.address; 'local' starts Ray for this search."
)
@click.option("--restart", is_flag=True, help="Begin anew; the earlier search is kept in optimize/backup/1, 2, ...")
@SEED
@global_options
@click.pass_obj
def optimize(
    session: Session,
    params: Path,
    time_budget: float | None,
    num_samples: int | None,
    concurrent: int | None,
    address: str | None,
    restart: bool,
    seed: int | None,
) -> None:
    """Search hyperparameters of the first experiment in PARAMS, as its hyperparameter_search.json says.

    A search that was interrupted goes on. The best trial is an experiment of its own, named in
    optimize/best_parameters.json.
    """
    exit_with(
        run_mode(
            session,
            open_experiments(session, params, seed)[:1],
            "optimize",
            time_budget=time_budget,
            num_samples=num_samples,
            concurrent=concurrent,
            address=address,
            restart=restart,
        )
    )
