"""Every network that is not MM-Lego's own, under one contract of named modalities; torch only."""
