"""An openrc file means what it means to bash, or is refused with the line; bash itself is asked."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from instance_ha import openrc
from instance_ha.errors import HostError

NAMES = ("OS_PASSWORD", "OS_USERNAME", "OS_AUTH_URL", "OS_REGION_NAME", "HOST")


def by_bash(text: str, folder: Path) -> dict[str, str] | None:
    """The NAMES that are set after bash's `source`; None when bash complains or writes anything."""
    file = folder / "openrc"
    file.write_bytes(text.encode())
    show = "".join(f'[ -z "${{{n}+x}}" ] || printf "%s=%s\\\\0" {n} "${n}"; ' for n in NAMES)
    done = subprocess.run(
        ["/bin/bash", "--norc", "--noprofile", "-c", f'source {shlex.quote(str(file))} >&2 || exit 9; printf "\\\\1"; {show}'],
        capture_output=True, timeout=20, env={"PATH": "/nowhere", "LC_ALL": "C.UTF-8", "HOME": "/its-home"}, cwd=folder)
    if done.returncode or done.stderr or not done.stdout.startswith(b"\1"):
        return None
    return dict(one.split("=", 1) for one in done.stdout[1:].decode().split("\0") if one)


PROMPT = r"""if [ -z "${CLOUDPROMPT_ENABLED:-}" ]; then
    export PS1=${PS1:-""}
    export PS1=\${OS_CLOUDNAME:+"(\$OS_CLOUDNAME)"}\ $PS1
    export CLOUDPROMPT_ENABLED=1
fi"""
LETTER = st.characters(exclude_categories=("Cs", "Cc"))
ODD = st.sampled_from(list("#;'\"\\$`!~:={}*?[]()<>|&%^ \t\n@+-/.,_aA0é"))
TEXT = st.text(st.one_of(ODD, LETTER), max_size=12)
NAME = st.sampled_from(NAMES)
BARE = st.text(st.sampled_from("abcXYZ019#:/.,@%+=_-!^[]*?}~"), max_size=10)
PIECE = st.one_of(
    BARE, TEXT.map(shlex.quote), TEXT.map(lambda t: "'" + t.replace("'", "") + "'"),
    TEXT.map(lambda t: '"' + re.sub(r'([\\"$`])', r"\\\1", t) + '"'), TEXT.map(lambda t: '"' + t.replace('"', "") + '"'),
    NAME.map(lambda n: f"${n}"), NAME.map(lambda n: f"${{{n}}}"), NAME.map(lambda n: f'"x${n}"'), ODD.map(lambda c: "\\" + c),
    st.just("$"), st.just("\\\n"))
VALUE = st.lists(PIECE, max_size=4).map("".join)
SET = st.tuples(NAME, VALUE).map("=".join)
BLANK = st.sampled_from([" ", "  ", "\t", " \\\n", " \\\n  "])
BEGIN = st.sampled_from(["", "export ", "declare -x ", "typeset -x ", "export\t", " export \\\n ", "declare "])
COMMAND = st.one_of(
    st.tuples(BEGIN, st.lists(st.tuples(SET, BLANK).map("".join), min_size=1, max_size=3).map("".join)).map("".join),
    NAME.map(lambda n: f"unset {n}"), NAME.map(lambda n: f"export {n}"), TEXT.map(lambda t: "# " + t.replace("\n", "")),
    st.sampled_from(["", "set -a", "set +a", 'if [ -z "$HOST" ]; then unset HOST; fi',
                     "export LC_ALL=C", "LANG=C.UTF-8", PROMPT]))
END = st.sampled_from(["\n", ";", " ; ", "\n\n", " # more\n"])
FILE = st.lists(st.tuples(COMMAND, END).map("".join), max_size=5).map("".join)


@settings(max_examples=250, deadline=None, derandomize=True)
@given(text=st.one_of(FILE, st.tuples(FILE, TEXT).map("".join)))
def test_as_bash_reads_it_or_not_at_all(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    try:
        ours = openrc.parse(text)
    except openrc._Refusal:
        return
    theirs = by_bash(text, tmp_path_factory.mktemp("rc"))
    assert theirs == {name: value for name, value in ours.items() if name in NAMES}


@settings(max_examples=100, deadline=None, derandomize=True)
@given(value=st.text(LETTER, max_size=20), begin=st.sampled_from(["", "export ", "declare -x "]))
def test_what_is_quoted_is_always_read(value: str, begin: str) -> None:
    quoted = shlex.quote(value)
    double = '"' + re.sub(r'([\\"$`])', r"\\\1", value) + '"'
    assert openrc.parse(f"{begin}OS_PASSWORD={quoted} OS_USERNAME={double}\n") == {"OS_PASSWORD": value, "OS_USERNAME": value}


@pytest.mark.parametrize(("text", "value"), [
    ("export OS_PASSWORD=Win#ter2026\n", "Win#ter2026"),
    ("export OS_AUTH_URL=http://k:5000/v3 OS_USERNAME=admin OS_PASSWORD=secret OS_PROJECT_NAME=admin", "secret"),
    ("OS_PASSWORD=secret # the new one", "secret"),
    ("declare -x OS_PASSWORD='a b'\"c\"d\\ e", "a bcd e"),
    ("P=x\nexport OS_PASSWORD=${P}-$P'$P'", "x-x$P"),
    ("P=x\nexport P=y OS_PASSWORD=$P", "x"), ("P=x\nP=y OS_PASSWORD=$P", "y"),
    ("\ufeffexport OS_PASSWORD=secret\r\nexport OS_USERNAME=a\r\n", "secret"),
    ("export OS_PASSWORD=se\\\ncret", "secret"),
    ("export OS_PASSWORD=a; export OS_PASSWORD=b", "b"),
    ("OS_PASSWORD=old\nfor key in $( set | awk '{FS=\"=\"}  /^OS_/ {print $1}' ); do unset $key ; done\nOS_PASSWORD=new\n", "new"),
    ("OS_PASSWORD=old\nfor key in $( set | awk '{FS=\"=\"}  /^OS_/ {print $1}' ); do unset $key ; done\n", None),
    (f"export LC_ALL=C\nLANG=de_DE.utf8\nOS_PASSWORD=secret\n# Add it\n{PROMPT}\n", "secret"),
    ('OS_PASSWORD=\nif [ -z "$OS_PASSWORD" ]; then unset OS_PASSWORD; fi\n', None),
])
def test_data_is_read(tmp_path: Path, text: str, value: str | None) -> None:
    (tmp_path / "openrc").write_bytes(text.encode())
    assert openrc.read(str(tmp_path / "openrc")).get("OS_PASSWORD") == value


@pytest.mark.parametrize(("line", "what"), [
    ("export OS_PASSWORD=$(cat /root/secret)", r"\$\(\.\.\. would have to be executed"),
    ("export OS_PASSWORD=`cat x`", "an unquoted `"), ('export OS_PASSWORD="`cat x`"', "what stands in"),
    ("read -sr OS_PASSWORD_INPUT", "`read` would have to be executed"), ("source /etc/other", "`source`"), (". other", "`.`"),
    ("if [ -z x ]; then OS_PASSWORD=a; fi", "`if`"), ("echo 'Your password: '", "`echo`"), ("secretword x", "a command would"),
    ("OS_PASSWORD=secret word", "a command would"), ("export OS_PASSWORD=$HOME", r"\$HOME is not set before in this file"),
    ("export OS_PASSWORD=${P:-x}", "only bash knows"), ("export OS_PASSWORD=$1", "only bash knows"), ("export OS_CACERT=~/ca.pem", "~"),
    ("export OS_PASSWORD='open", "not closed"), ('export OS_PASSWORD="open', "not closed"), ("export OS_PASSWORD=a&b", "unquoted &"),
    ("export OS_PASSWORD=$'a'", "only bash knows"), ("RANDOM=1", "RANDOM has a meaning of its own"), ("OS_PASSWORD=(a b)", r"unquoted \("),
    ("OS_PASSWORD+=x", "a command would"), ("export -n OS_PASSWORD", "`export`"), ("; OS_PASSWORD=x", "without a command"),
    ("export 'OS_PASSWORD=x'", "a command with quotes"), ("export OS_PASSWORD={a,b}", "unquoted {"),
    ("export P=x OS_PASSWORD=$P", r"\$P is not set before"),
    ("export LC_ALL=ja_JP.SJIS", "LC_ALL may change how bash reads this file"),
    (f"{PROMPT}; OS_PASSWORD=secret", "`if`"), (PROMPT.replace("=1", "=$(x)"), "`if`"),
])
def test_what_would_be_executed_is_refused_with_its_line(tmp_path: Path, line: str, what: str) -> None:
    (tmp_path / "openrc").write_text(f"# a file\nexport OS_USERNAME='a\nb'\n{line}\n")
    with pytest.raises(HostError, match=r"^openrc=\S+, line 4: .*" + what) as refused:
        openrc.read(str(tmp_path / "openrc"))
    assert "secret" not in str(refused.value)
