"""``python -m discern`` is the same as ``discern``."""

from discern.cli.main import main

main()
