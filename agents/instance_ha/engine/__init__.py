"""The evacuation engine: what is decided, done and followed."""
