"""The two built-in backends, which are also the reference for authors of others."""
