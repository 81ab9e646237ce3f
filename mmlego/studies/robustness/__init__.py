"""What missing, scarce, reduced and late modalities cost, and training on disjoint patients."""
