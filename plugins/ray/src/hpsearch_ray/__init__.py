"""Ray Tune as a backend of hpsearch."""
