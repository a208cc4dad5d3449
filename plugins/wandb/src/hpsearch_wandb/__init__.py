"""Weights & Biases sweeps as a backend of hpsearch."""
