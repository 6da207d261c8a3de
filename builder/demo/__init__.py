"""The demonstration source: the shape of an EL9 ISO, made of Debian packages."""
