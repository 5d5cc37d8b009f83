"""What is wrong with results: one file a check, found through one registry."""
