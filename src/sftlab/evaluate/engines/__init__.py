"""What answers questions: the model in this process's memory, or a server."""
