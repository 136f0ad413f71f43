"""Tests of lib.release."""
