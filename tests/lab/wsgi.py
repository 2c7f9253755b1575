"""Serve one of OpenStack's WSGI applications: wsgi.py NAME APPLICATION ADDRESS PORT THREADS.

APPLICATION is a module, or module:function that makes it. Run by the Python of its release.
"""

from __future__ import annotations

import sys

del sys.path[0]  # this folder: nothing of it is for OpenStack's services

import importlib  # noqa: E402

import waitress  # noqa: E402


def main() -> None:
    name, module, address, port, threads = sys.argv[1:]
    sys.argv = [name]  # the applications read their configuration's arguments from here
    module, _, function = module.partition(":")
    loaded = importlib.import_module(module)
    application = getattr(loaded, function)() if function else loaded.application
    waitress.serve(application, host=address, port=int(port), threads=int(threads), ident=None, connection_limit=500)


if __name__ == "__main__":
    main()
