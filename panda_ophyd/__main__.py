"""``python -m panda_ophyd`` is ``panda-ophyd``."""

from panda_ophyd.cli import main

main()
