"""Every method on the same splits of one cohort."""
