"""What people are shown, worked out from what is remembered: one module for each page, without a word of HTML.

Nothing here changes anything, asks a forge, CI or a target: a page costs reads of the memory, and nobody who opens one
can slow a pass down by it. `web` puts these values into pages and JSON.
"""
