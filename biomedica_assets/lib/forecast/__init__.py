"""What making everything will take: time, bytes, memory and money, from what was measured.

``contents`` says how much there is, ``rates`` what a stage costs and where that was measured, ``fit`` makes rates of
observations, ``forecast`` multiplies, and names what limits. Nothing here runs a stage or reads a data directory.
"""
