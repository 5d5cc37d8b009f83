"""Results made elsewhere as the tables of a study; one file a source."""
