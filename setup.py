"""For tools that still look for it; `pyproject.toml` says everything, dependencies included."""

from setuptools import setup

setup()
