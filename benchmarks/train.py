"""What one epoch of ``discern train`` takes as the number of cells grows: time, memory, disk.

Usage: python -m benchmarks.train FOLDER --real-data REAL_CELLS [--cells 50000 200000 800000]

The network is small, so that what depends on the cells shows. Data that were not processed yet are processed first,
which is not measured.
"""

from benchmarks.against_cells import measure_series, processed_only, read_arguments

if __name__ == "__main__":
    measure_series("train", read_arguments(__doc__), processed_only)
