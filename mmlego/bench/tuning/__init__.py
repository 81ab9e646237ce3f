"""Search of hyper-parameters, and the values that it chose."""
