"""Evaluation: test tasks as data, zero-shot and retrieval scores with intervals, contamination, the leaderboard.

Reading order: ``task`` (what a task and its items are), ``registry`` and ``suites/*.yaml`` (every task with the source
of each fact), ``adapters`` (readers of the layouts), ``index`` (one pass over a test set), ``models`` and ``encoder``
(what is scored), ``features`` (vectors, cached), ``zero_shot``, ``ranks``, ``retrieval``, ``probes`` (answers),
``metrics``, ``bootstrap``, ``significance`` (numbers with intervals), ``scoring`` (one model on one task),
``recipe_stage`` with ``zero_shot_stage`` and ``retrieval_stage`` (one recipe), ``any_model`` (no recipe),
``contamination``, ``leaderboard``.

Does not belong here: training (``lib.clip``). Models come in as ``ModelSpec`` values, training images as tables.
"""
