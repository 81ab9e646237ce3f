"""Records of runs: what they hold, how they are found again, and what they are worth today."""
