"""What would happen if hosts died, and whether it would fit."""
