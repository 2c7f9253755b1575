"""Will it work tonight? What instance-ha doctor looks at. Reads only."""
