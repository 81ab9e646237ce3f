"""What a search of hyper-parameters found."""
