#!/bin/sh
# make install: put the agents, the command, their library and the manual pages in place.
# The Makefile gives all names in the environment. Whatever can fail is done in a scratch directory
# first, so that an installation is the old one or the new one, and never a part of either.
set -eu
umask 022
library=$DESTDIR$PYTHONDIR/instance_ha
stage=$(mktemp -d)
trap 'rm -rf "$stage" "$library.new"' EXIT

found=$(command -v "$PYTHON") || {
    echo "make install: there is no $PYTHON on this machine" >&2
    exit 1
}
PYTHON=$found
# What is only packed (DESTDIR=) is run elsewhere, with the libraries that are there.
"$PYTHON" -I packaging/check_python.py $([ -n "$DESTDIR" ] || echo "$FENCEAGENTSLIBDIR")

for launcher in agents/fence_nova agents/instance-ha ocf/openstack/NovaEvacuate; do
    sed -e "1s|^.*|#!$PYTHON -I|" -e "s|@PYTHONDIR@|$PYTHONDIR|" \
        -e "s|@FENCEAGENTSLIBDIR@|$FENCEAGENTSLIBDIR|" "$launcher" > "$stage/${launcher##*/}"
done
PYTHONPATH=agents PYTHONDONTWRITEBYTECODE=1 "$PYTHON" -m instance_ha.manual "$stage/man"

rm -rf "$library.new" "$library.old"
install -d "$library.new" "$DESTDIR$SBINDIR" "$DESTDIR$BINDIR" "$DESTDIR$OCFDIR" \
    "$DESTDIR$MANDIR/man7" "$DESTDIR$MANDIR/man8"
(cd agents/instance_ha && find . -name '*.py') | while read -r file; do
    install -D -m 0644 "agents/instance_ha/$file" "$library.new/$file"
done

# From here on nothing is made, only moved or copied.
if [ -e "$library" ]; then mv "$library" "$library.old"; fi
mv "$library.new" "$library"
rm -rf "$library.old"
put() {     # a file under a name that no one reads, then in place of the old one at once
    install -m "$3" "$1" "$2.new.$$" && mv -f "$2.new.$$" "$2"
}
put "$stage/fence_nova" "$DESTDIR$SBINDIR/fence_nova" 0755
put "$stage/instance-ha" "$DESTDIR$BINDIR/instance-ha" 0755
put "$stage/NovaEvacuate" "$DESTDIR$OCFDIR/NovaEvacuate" 0755
(cd "$stage/man" && find . -type f) | while read -r page; do
    put "$stage/man/$page" "$DESTDIR$MANDIR/$page" 0644
done
