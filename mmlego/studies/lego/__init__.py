"""What merging and fusing trained blocks gives."""
