"""Evaluation tasks: definitions, items, answer extraction, metrics; no model."""
