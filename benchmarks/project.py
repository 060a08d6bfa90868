"""What ``discern project`` takes as the number of cells grows: time, memory, disk.

Usage: python -m benchmarks.project FOLDER --real-data REAL_CELLS [--cells 50000 200000 800000] [--options "--layers none"]

Every cell is decoded into its own batch by a small network trained for one epoch on the same cells; training is not
measured. The two layers are dense: with 800,000 cells and 15,000 genes each takes 48 GB before compression, so they are
left out unless --options says otherwise.
"""

from benchmarks.against_cells import measure_series, read_arguments, trained_only

if __name__ == "__main__":
    measure_series("project", read_arguments(__doc__, "--layers none"), trained_only)
