"""Asking a judge over the network: how fast, how often, at what cost, and what it said, kept as it arrives."""
