"""The command line: `app.py` registers, one file a verb. Nothing heavy is imported before a verb runs."""
