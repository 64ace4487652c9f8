"""The web view: an application of its own behind the third door, which only reads."""
