"""The commands: the file name is the command, the first line of its docstring is its help.

A command has `configure(parser)`, which adds its options, and `run(args)`, which does the work and may return an
exit code. It imports no torch at its top, so that its help comes at once. Errors are raised, not printed: `easyrec.cli`
is the edge that reports them.
"""
