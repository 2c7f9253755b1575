"""What is told of incidents: history, metrics, events, reports."""
