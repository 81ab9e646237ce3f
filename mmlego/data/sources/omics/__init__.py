"""Loaders of genes, proteins, slides and reports."""
