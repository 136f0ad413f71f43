"""The explore page: routes (``app``), how it is served (``serve``), templates and scripts."""
