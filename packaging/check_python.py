"""Whether a Python can run instance-ha: PYTHON -I packaging/check_python.py FENCEAGENTSLIBDIR

Exit code 1, with one sentence, when it cannot. What only some of the commands need is told and is
no error: a compute host whose unit waits for its evacuation needs lxml alone. This file has to run
under any Python 3.
"""
import sys

LEAST = (3, 9)
NEEDED = (("lxml", "everything"),)
WANTED = (
    ("keystoneauth1", "both agents"),
    ("openstack", "cloud=, package openstacksdk"),
    ("pycurl", "fencing.py"),
    ("pexpect", "fencing.py"),
    ("fencing", "fence_nova, package fence-agents or fence-agents-common"),
)
TOO_OLD = "Python %d.%d or newer is needed, and %s is %d.%d: name another one with PYTHON="
SEE = 'see docs/install.md'


def missing(modules):
    """Return those that cannot be imported, each with what needs it."""
    found = []
    for name, what in modules:
        try:
            __import__(name)
        except ImportError:
            found.append("%s (for %s)" % (name, what))
    return found


def say(sentence):
    """Print it on standard error."""
    sys.stderr.write("make install: %s\n" % sentence)


def main(argv):
    """Return the exit code."""
    sys.path[:0] = argv[1:]
    if sys.version_info < LEAST:
        say(TOO_OLD % (LEAST + (sys.executable,) + sys.version_info[:2]))
        return 1
    needed = missing(NEEDED)
    if needed:
        say("%s has no %s: %s" % (sys.executable, ", ".join(needed), SEE))
        return 1
    wanted = missing(WANTED) if argv[1:] else []
    if wanted:
        say("note: %s has no %s: %s" % (sys.executable, ", no ".join(wanted), SEE))
    return 0


sys.exit(main(sys.argv))
