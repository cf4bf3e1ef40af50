"""Windows of many recordings through one model at once."""
