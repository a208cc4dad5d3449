"""Optuna as a backend of hpsearch."""
