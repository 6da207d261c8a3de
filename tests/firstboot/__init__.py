"""Tests of the agent: they run on CPython 3.9 as well, with nothing but pytest installed."""
