"""Native code: compiled by ziglang, cached by its content, opened through cffi."""
