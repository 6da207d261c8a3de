"""Tests of the workstation side."""
