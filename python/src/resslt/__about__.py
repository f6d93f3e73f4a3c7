"""The version, which is that of the programs in the wheel."""

__version__ = "0.1.0.dev0"
