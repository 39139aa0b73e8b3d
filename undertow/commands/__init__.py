"""Verbs of the kernel, one file each; registered as entry points, imported only when called."""
