"""Files of the Hugging Face hub: in its cache on this machine, to be had, or not. One quick look that fetches nothing.

The hub's own client tries an unreachable address for twenty seconds and more; whoever only wants to know whether
weights can be had asks here first.
"""

from __future__ import annotations

import importlib
import threading
from typing import Any

PATIENCE = 1.5
"""Seconds until a hub that says nothing counts as one that may have the file: a slow line is no reason to give up."""


def is_cached(repository: str, *filenames: str) -> bool:
    """Whether one of the files of a repository is in the cache."""
    hub: Any = importlib.import_module("huggingface_hub")
    return any(isinstance(hub.try_to_load_from_cache(repository, name), str) for name in filenames)


def why_not(repository: str, *filenames: str, patience: float = PATIENCE) -> str | None:
    """Why weights cannot be had.

    Args:
        repository: ``owner/name`` of a model on the hub.
        filenames: files in it, any of which would do.
        patience: seconds that the hub is given to answer.

    Returns:
        None if one is in the cache, or the hub has the repository, or does not answer in time; else half a sentence.
    """
    if is_cached(repository, *filenames):
        return None
    hub: Any = importlib.import_module("huggingface_hub")
    where = f"{filenames[0]} of {repository} is not in the hub's cache"
    if hub.is_offline_mode():
        return f"{where}, and the hub is switched off (HF_HUB_OFFLINE)"
    said: list[str | None] = []
    asking = threading.Thread(target=lambda: said.append(_asked(hub, repository, filenames[0], patience)), daemon=True)
    asking.start()
    asking.join(patience)
    return f"{where}, and {said[0]}" if said and said[0] else None


def _asked(hub: Any, repository: str, filename: str, patience: float) -> str | None:
    """What the hub says against it."""
    errors: Any = importlib.import_module("huggingface_hub.errors")
    url = hub.hf_hub_url(repository, filename)
    try:
        hub.get_hf_file_metadata(url, timeout=patience)
    except errors.RepositoryNotFoundError as error:  # also one that is gated
        return f"the hub does not give it ({type(error).__name__})"
    except errors.HfHubHTTPError:
        return None  # a moment's trouble of the hub, or the file has another name there
    except Exception as error:  # noqa: BLE001 - of whatever library the hub's client calls
        slow = "timeout" in type(error).__name__.lower()
        return None if slow else f"{hub.constants.ENDPOINT} cannot be reached ({type(error).__name__})"
    return None
