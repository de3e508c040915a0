"""
An embedded AWS for a laptop: ministack as the fabric, and plug-ins for what it lacks.

`python -m localcloud serve` runs it; `localcloud.server.Server` runs it from Python. A plug-in is a module with one
`install(context)`: `localcloud.context.Context` is all that it needs to know.
"""
