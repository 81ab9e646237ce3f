"""Cohorts in memory: modalities, targets, and loading."""
