"""Readers of what strangers write, fed with nonsense: whatever comes, only the named failures may leave them."""
