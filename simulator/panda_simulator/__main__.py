"""``python -m panda_simulator`` is the command line."""

from panda_simulator.cli import main

if __name__ == "__main__":
    main()
