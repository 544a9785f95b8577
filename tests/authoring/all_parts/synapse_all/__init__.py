"""A family put together from other distributions' parts, each by its name."""
