"""PubMed Central figures and captions as a Dagster asset graph.

How to find things: ``definitions`` shows the groups; each module of ``assets`` is one group, and each asset in it makes
one call into ``lib``; each package of ``lib`` is one subject and can be used without Dagster. ``settings`` has every
knob, ``configs`` turns knobs into the library's configuration objects, ``metadata`` turns the library's reports into
Dagster's results. ``cli`` is the ``biomedica`` command.

Arrow of imports: definitions -> assets, checks, automation -> resources, configs, metadata -> lib; never back.
"""
