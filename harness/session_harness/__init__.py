"""The tool that a person runs: command line, configuration, run directories and reports."""
