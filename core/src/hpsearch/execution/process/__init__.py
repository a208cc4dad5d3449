"""Worker processes on this machine: ``executor="process"``; the page is ``docs/workers.md``."""
