"""`python -m agentcg` is the command line."""

from agentcg.cli.main import main

if __name__ == "__main__":
    main()
