"""What is to be done: the frozen declaration of a study, its expansion into runs, and identity."""
