"""HTTP: handlers of one to three lines, one file per resource, and the one place where errors become problems."""
