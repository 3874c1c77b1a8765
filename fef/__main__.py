"""`python -m fef` is the command `fef`."""

from fef.cli import main

if __name__ == "__main__":
    main()
