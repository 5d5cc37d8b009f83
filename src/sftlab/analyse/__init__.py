"""Raw rows become contract tables, and tables become effects with intervals."""
