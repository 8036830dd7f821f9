"""The version of this package, for whoever stands below the names that `servable` itself offers."""

__version__ = "0.1.0"
