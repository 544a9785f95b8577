"""A little world of stories and dialogues: a grammar whose every probability is known."""
