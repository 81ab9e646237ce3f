"""Which tokens AMC replaces, and which rule made the published map."""
