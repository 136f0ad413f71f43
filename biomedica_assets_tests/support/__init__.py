"""Stand-ins and builders that several test modules share."""
