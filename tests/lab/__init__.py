"""The laboratory: a real Pacemaker cluster and a real Nova on one machine, in namespaces."""
