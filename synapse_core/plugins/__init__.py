"""The plugin host."""

from synapse_core.plugins.discovery import Selection
from synapse_core.plugins.host import Host, default_host
from synapse_core.plugins.report import Provider, Report

__all__ = ["Host", "Provider", "Report", "Selection", "default_host"]
