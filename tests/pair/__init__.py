"""Two nodes and everything that can go wrong between them: state machines and real BMCs."""
