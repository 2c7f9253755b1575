"""What nova-compute runs in the laboratory."""
