"""Tables as data frames and as HTML that sorts."""
