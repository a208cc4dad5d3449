"""What a search is, and what came of it: the study, its trials, and which of them are best."""
