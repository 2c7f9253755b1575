"""Serve one of OpenStack's WSGI applications: wsgi.py NAME MODULE ADDRESS PORT THREADS. Run by the venv's python."""

from __future__ import annotations

import importlib
import sys

import waitress


def main() -> None:
    name, module, address, port, threads = sys.argv[1:]
    sys.argv = [name]  # the applications read their configuration's arguments from here
    application = importlib.import_module(module).application
    waitress.serve(application, host=address, port=int(port), threads=int(threads), ident=None, connection_limit=500)


if __name__ == "__main__":
    main()
