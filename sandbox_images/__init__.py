"""Images for sandboxes, with the native client and the harnesses' hooks in place."""
