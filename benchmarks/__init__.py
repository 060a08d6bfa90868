"""Speed, memory and disk, measured by hand: see docs/benchmarks.md."""
