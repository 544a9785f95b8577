"""A stranger's plugin, as the test suite installs it."""
