"""Tests of released labels."""
