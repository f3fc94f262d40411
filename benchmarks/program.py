"""How to start the command that is measured."""

from __future__ import annotations

import sys

DEEPPOSE = (sys.executable, "-c", "import sys; from deeppose_cli.cli.app import main; sys.exit(main())")
"""What the console script does; found wherever the package is."""
