"""Servers as the judged side: a service node, a file server or a community, asked over HTTP."""
