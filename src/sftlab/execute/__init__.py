"""Where the work is done: in this process, or in one warm process per core or device."""
