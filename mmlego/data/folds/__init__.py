"""From a cohort and a split to scaled tensors."""
