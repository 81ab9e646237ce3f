"""Grids of runs, through Snakemake."""
