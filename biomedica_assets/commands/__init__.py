"""What the commands of ``biomedica`` do: one module per kind of work, one function per command.

Belongs here: from parsed arguments to a call of the library or the graph, and what is printed.
"""
