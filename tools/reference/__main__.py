"""Write every page."""

from tools.reference.pages import pages

for path, text in pages().items():
    path.write_text(text())
