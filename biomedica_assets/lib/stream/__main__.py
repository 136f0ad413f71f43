"""``python -m biomedica_assets.lib.stream``: the quick way to a virtual shard, without the rest of the command line."""

from biomedica_assets.lib.stream.command import main

raise SystemExit(main())
