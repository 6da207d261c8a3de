"""One page of TOML -> a checked Profile, or every problem at once."""
