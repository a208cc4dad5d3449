"""CMA-ES as a backend of hpsearch."""
