"""Search hyperparameters: the published entry point. `python ray_hyperpara.py PARAMS` is `discern optimize PARAMS`."""

import sys

from discern.cli.main import main

if __name__ == "__main__":
    sys.argv[:1] = ["discern", "optimize"]
    main()
