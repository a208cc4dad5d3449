"""SigOpt as a backend of hpsearch, with its optimiser in process or on a server."""
