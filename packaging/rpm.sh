#!/bin/sh
# make rpm: the RPM package in dist/, built from the source archive.
# RELEASE= is the number after the version (1).
set -eu
lacks() { echo "make rpm: $1 is missing: $2" >&2; exit 1; }
command -v rpmbuild >/dev/null || lacks rpmbuild "dnf install rpm-build, or apt-get install rpm"
/usr/bin/python3 -I -c 'import lxml' 2>/dev/null ||
    lacks python3-lxml "dnf install python3-lxml, or apt-get install python3-lxml"
archive=$(sh packaging/dist.sh)
work=$PWD/build/rpm
rm -rf "$work"
mkdir -p "$work/SOURCES"
cp "$archive" "$work/SOURCES/"
# Where the packages of this machine are not RPM's, it cannot look for what is needed to build.
nodeps=$([ -e /etc/debian_version ] && echo --nodeps || true)
rpmbuild -ba $nodeps --define "_topdir $work" --define "release_number ${RELEASE:-1}" \
    packaging/instance-ha.spec > "$work/log" 2>&1 || {
    tail -n 30 "$work/log" >&2
    echo "make rpm: it failed; all of it is in build/rpm/log" >&2
    exit 1
}
find "$work/RPMS" "$work/SRPMS" -name '*.rpm' -exec cp {} dist/ \; -printf 'dist/%f\n'
if command -v rpmlint >/dev/null; then
    find "$work/RPMS" "$work/SRPMS" -name '*.rpm' \
        -exec rpmlint --rpmlintrc packaging/rpmlintrc packaging/instance-ha.spec {} +
fi
