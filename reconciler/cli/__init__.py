"""The command line: one module per group of commands, thin, with lazy imports."""
