"""From a run's declaration to its checkpoints."""
