#!/bin/sh
# make dist: the source archive dist/instance-ha-VERSION.tar.gz, from which both packages build.
# In a git checkout it is what is committed; elsewhere it is what is there.
set -eu
version=$(sed -n 's/^__version__ = "\(.*\)"/\1/p' agents/instance_ha/__init__.py)
name=instance-ha-$version
mkdir -p dist
if [ -e .git ] && command -v git >/dev/null; then
    if [ -n "$(git status --porcelain)" ]; then
        echo "make dist: note: what is not committed is not in the archive" >&2
    fi
    git archive --format=tar --prefix="$name/" HEAD | gzip -n > "dist/$name.tar.gz.new"
else
    tar -c --sort=name --owner=0 --group=0 --transform="s|^\.|$name|" \
        --exclude=./dist --exclude=./build --exclude=./.venv --exclude='./.*_cache' \
        --exclude=__pycache__ --exclude='*.pyc' --exclude='*.egg-info' . |
        gzip -n > "dist/$name.tar.gz.new"
fi
mv "dist/$name.tar.gz.new" "dist/$name.tar.gz"
echo "dist/$name.tar.gz"
