"""What AMC, its ablations and rivals reach, on one cohort and over all."""
