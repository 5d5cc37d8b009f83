"""From a checkpoint and a benchmark to per-item scores."""
