"""ksbuild serve: kickstarts for nodes that start from the network, and a page of how far they are.

Everything that is served is rendered before the first request; a request only looks things up.
"""
