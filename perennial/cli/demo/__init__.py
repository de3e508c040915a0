"""`perennial demo`: the whole loop on the local cloud, told as it happens."""
