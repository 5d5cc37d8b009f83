"""What leaves a study: models to serve, and training curves for other trackers."""
