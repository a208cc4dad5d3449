"""How a search survives: the journal, its file, and the lock that one process holds on a study."""
