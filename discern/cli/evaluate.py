"""``discern evaluate``."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from discern.cli.quiet_tensorflow import import_tensorflow
from discern.cli.session import PARAMETERS, SEED, Session, exit_with, global_options, open_experiments, run_mode

if TYPE_CHECKING:
    from discern.evaluation.other_estimates import OtherEstimate
    from discern.evaluation.table import Evaluation


@click.command()
@PARAMETERS
@click.option(
    "--target", metavar="BATCH", help="Batch that cells are decoded into.  [default: the one of most counts per cell]"
)
@click.option(
    "--labels", metavar="COLUMN", help="obs column of cell types; training never sees it.  [default: celltype]"
)
@click.option(
    "--thin",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    metavar="FRACTION",
    help="Also measure what is recovered of hidden counts: of half of the target's cells only FRACTION of the counts are "
    "kept, and a sub-experiment is processed and trained in evaluation/thinned.",
)
@click.option(
    "--compare",
    multiple=True,
    metavar="NAME=H5AD",
    help="Score estimates of another tool, too: X is log1p of expression normalised as here, names are those of the "
    "processed data. Repeatable.",
)
@click.option("--cells", type=click.IntRange(20), default=10_000, show_default=True, help="Cells to look at, at most.")
@click.option("--no-report", is_flag=True, help="Leave out report.html, which takes UMAPs of 2,000 cells.")
@SEED
@global_options
@click.pass_obj
def evaluate(
    session: Session,
    params: Path,
    target: str | None,
    labels: str | None,
    thin: float | None,
    compare: tuple[str, ...],
    cells: int,
    no_report: bool,
    seed: int | None,
) -> None:
    """Measure the reconstruction of every trained experiment in PARAMS.

    Cells of other batches, decoded into the target batch, are compared with real cells of it, and so are honest
    baselines. Writes evaluation/metrics.json, metrics.csv and report.html, a page that opens in any browser.
    """
    outcomes = run_mode(
        session,
        open_experiments(session, params, seed),
        "evaluate",
        target=target,
        labels=labels,
        thin=thin,
        compare=_estimates(compare, session.verbosity),
        n_cells=cells,
        report=not no_report,
    )
    for outcome in outcomes:
        if not outcome.exit_code:
            _show(outcome.result)
    exit_with(outcomes)


def _estimates(compare: tuple[str, ...], verbosity: int) -> "list[OtherEstimate]":
    if not compare:
        return []
    import_tensorflow(verbosity)  # what comes next imports it, too
    from discern.evaluation.other_estimates import OtherEstimate

    return [OtherEstimate.parse(text) for text in compare]


def _show(written: list[Path]) -> None:
    from rich.console import Console

    from discern.evaluation.table import read_evaluation

    evaluation = read_evaluation(written[0])
    console = Console()
    room = 8 if console.is_terminal else 16  # numbers are never cut; a file has room for the names as well
    console.width = max(console.width, 42 + room * len(evaluation.methods))
    console.print(_table(evaluation))
    for note in evaluation.notes:
        console.print(f"Note: {note}", markup=False, highlight=False)
    console.print(f"Written: {', '.join(map(str, written))}", markup=False, highlight=False, soft_wrap=True)


def _table(evaluation: "Evaluation") -> object:
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    title = escape(f"{evaluation.facts['experiment']}, decoded into {evaluation.facts['target']}")
    caption = "* best; grey columns know real target cells or labels and are never marked"
    table = Table(title=title, caption=caption, box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("measure", no_wrap=True)
    table.add_column("better", no_wrap=True)
    for method in evaluation.methods:
        style = "dim" if method.role == "ceiling" else ""
        table.add_column(escape(method.name), justify="right", style=style, min_width=6, overflow="fold")
    group = ""
    for measure in evaluation.measures():
        if measure.group != group:
            group = measure.group
            table.add_section()
            table.add_row(f"[italic]{escape(group)}[/italic]")
        better = f"near {measure.ideal:g}" if measure.better == "near" else measure.better
        best = evaluation.best(measure)
        values = [(method.name, evaluation.value(method.name, measure.name)) for method in evaluation.methods]
        cells = ["" if value is None else f"{value:.3f}" + "*" * (name in best) for name, value in values]
        table.add_row(measure.name, better, *(f"[bold]{one}[/bold]" if one.endswith("*") else one for one in cells))
    return table
