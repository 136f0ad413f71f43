"""Jobs, schedules, sensors, and the planner that says which partitions are out of date.

Concept: https://docs.dagster.io/guides/automate
"""
