"""`make lab` and its drills: a pair from medium to mounted, and what may happen to it then."""
