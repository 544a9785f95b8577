"""For those who write plugins: begin one from a template, examine an installed one."""

from synapse_core.authoring.check import check_distribution, reports_of
from synapse_core.authoring.create import create_plugin

__all__ = ["check_distribution", "create_plugin", "reports_of"]
