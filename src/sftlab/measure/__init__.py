"""Quantities of data and weights."""
