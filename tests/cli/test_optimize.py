"""The options of ``discern optimize``."""

import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from discern.cli.main import cli
from discern.cli.optimize import Duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90.5", 90.5), ("90m", 5400), ("1h30m", 5400), ("1.5h", 5400), ("2d", 172800), ("1D2H3M4S", 93784)],
)
def test_a_time_budget_is_read_as_people_write_it(text, seconds):
    assert Duration().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "soon", "1h30", "h", "-5", "1x", "0", "0s", "1e3", "nan"])
def test_other_texts_are_no_duration(text):
    with pytest.raises(click.BadParameter):
        Duration().convert(text, None, None)


def test_the_command_is_listed_and_names_its_options():
    assert "optimize" in CliRunner().invoke(cli, ["--help"]).output
    told = CliRunner().invoke(cli, ["optimize", "--help"]).output
    for option in ("--time-budget", "--num-samples", "--concurrent", "--address", "--seed", "--restart"):
        assert option in told


def test_the_published_entry_point_hands_over_to_the_command():
    script = Path(__file__).parents[2] / "ray_hyperpara.py"
    assert len(script.read_text().splitlines()) < 30
    done = subprocess.run(
        [sys.executable, script, "--help"], capture_output=True, text=True, timeout=120, cwd=script.parent
    )
    assert done.returncode == 0, done.stderr
    assert "discern optimize" in done.stdout and "--time-budget" in done.stdout
