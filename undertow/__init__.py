"""Undertow: semantic observability for applications built on large language models."""

__version__ = "0.1.0"
