"""Versions of the steps that make results: a changed definition is a new version and so a new identity."""

TRAIN_VERSION = 1
SCORE_VERSION = 1
