"""Instruction datasets: read, recognise, normalise, sample."""
