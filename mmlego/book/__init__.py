"""Turn results and executed notebooks into the book: generated pages, table of contents, HTML."""
