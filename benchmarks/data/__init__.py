"""How fast the data engine validates and profiles, beside a plain read and beside its peers' own jobs."""
