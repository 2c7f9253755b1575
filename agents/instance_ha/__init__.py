"""Instance HA for OpenStack on Pacemaker."""

__version__ = "0.1.0"
