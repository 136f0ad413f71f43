"""Compound figures."""
