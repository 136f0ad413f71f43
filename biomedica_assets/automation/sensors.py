"""Sensors; all of them are off until a person switches them on.

Concept: https://docs.dagster.io/guides/automate/sensors
"""

import dagster as dg

ALL: list[dg.SensorDefinition] = []
