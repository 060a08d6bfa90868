"""What ``discern process`` takes as the number of cells grows: time, memory, disk.

Usage: python -m benchmarks.process FOLDER --real-data REAL_CELLS [--cells 50000 200000 800000]

The experiment folder is removed before each run; raw counts that were generated earlier are used again.
"""

from benchmarks.against_cells import measure_series, read_arguments, start_afresh

if __name__ == "__main__":
    measure_series("process", read_arguments(__doc__), start_afresh)
