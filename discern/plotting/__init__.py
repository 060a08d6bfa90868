"""Pictures of training, cells and zeros on Matplotlib axes; :mod:`discern.pl` hands them on."""
