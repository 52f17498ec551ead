"""Routing: the file of routes, and the DNS server that is told what they mean. rules/ decides."""
