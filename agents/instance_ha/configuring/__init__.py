"""What a cluster is configured to be, and the changes that protect it."""
