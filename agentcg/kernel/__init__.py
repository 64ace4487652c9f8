"""One file per kernel interface: mechanism only, no defaults and no policy."""
