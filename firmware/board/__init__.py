"""Adapters between the ports of node.ports and one kind of board each; no decisions. main.py picks one of them."""
