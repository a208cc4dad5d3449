"""Benchmarks: ``python -m benchmarks`` prints one Markdown table of ratios, all from one run."""
