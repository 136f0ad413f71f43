"""Tests of lib.pubmed."""
