"""Published names for running experiments, handed on from :mod:`discern.workflows.runner`."""

from discern.workflows.runner import (
    CheckMetaData,
    DISCERNRunner,
    run_exp_multiprocess,
    run_projection,
    run_train,
    setup_exp,
)

__all__ = ["CheckMetaData", "DISCERNRunner", "run_exp_multiprocess", "run_projection", "run_train", "setup_exp"]
