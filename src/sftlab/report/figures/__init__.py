"""Pure functions from data frames to plotly figures, one kind of figure a file."""
