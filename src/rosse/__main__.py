"""`python -m rosse`."""

from rosse.cli import main

if __name__ == "__main__":
    main()
