"""One fold: train, fetch, merge, fuse and score any method; the store of fits; the search."""
