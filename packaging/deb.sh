#!/bin/sh
# make deb: the Debian package in dist/, built from the source archive.
# RELEASE= is the number after the version (1).
set -eu
needed="debhelper dpkg-dev dh-python python3-lxml"
lacks() { echo "make deb: $1 is missing: apt-get install $needed" >&2; exit 1; }
for tool in dpkg-buildpackage dh dh_python3; do command -v $tool >/dev/null || lacks $tool; done
/usr/bin/python3 -I -c 'import lxml' 2>/dev/null || lacks python3-lxml
archive=$(sh packaging/dist.sh)
name=$(basename "$archive" .tar.gz)
version=${name#instance-ha-}
work=build/deb
rm -rf $work
mkdir -p $work
cp "$archive" "$work/instance-ha_$version.orig.tar.gz"
tar -xf "$archive" -C $work
cp -r "$work/$name/packaging/debian" "$work/$name/debian"
sed -i "1s/(.*)/($version-${RELEASE:-1})/" "$work/$name/debian/changelog"
(cd "$work/$name" && dpkg-buildpackage -us -uc > ../log 2>&1) || {
    tail -n 30 $work/log >&2
    echo "make deb: it failed; all of it is in $work/log" >&2
    exit 1
}
cp $work/instance-ha_* dist/
made=dist/instance-ha_$version-${RELEASE:-1}
ls "$made"_*.deb
if command -v lintian >/dev/null; then
    lintian --allow-root --fail-on error "$made"_*.changes
fi
