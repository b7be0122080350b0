"""Says where a file is no PowerShell: parse_powershell.py FILE"""

import sys

import tree_sitter_powershell
from tree_sitter import Language, Parser

tree = Parser(Language(tree_sitter_powershell.language())).parse(open(sys.argv[1], "rb").read())


def faults(node):
    if node.is_error or node.is_missing:
        yield node
    elif node.has_error:
        for child in node.children:
            yield from faults(child)


found = list(faults(tree.root_node))
for node in found:
    print(f"line {node.start_point[0] + 1}: {node.text[:60]!r}")
sys.exit(1 if found else 0)
