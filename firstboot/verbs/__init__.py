"""What ksnode is told to do, one module for what belongs together."""
