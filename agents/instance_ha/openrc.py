"""Reads a file of OS_ variables as bash reads it, without executing anything in it."""

from __future__ import annotations

import re
import string

from .answers import one_line
from .errors import HostError
from .files import read_bytes

_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BRACED = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_ENDS_A_WORD = " \t\n;"
_BEFORE_TILDE = frozenset(string.ascii_letters + string.digits + "/._-")    # behind these a ~ is itself
_DECLARES = (["export"], ["declare"], ["declare", "-x"], ["typeset"], ["typeset", "-x"])
# These may stand in a message. Any other word may be a piece of a password.
_COMMANDS = frozenset((
    ".", "[", "[[", "case", "cd", "echo", "eval", "exec", "for", "function", "if", "local", "printf", "read",
    "readonly", "set", "source", "stty", "trap", "until", "while"))
# Bash gives these variables values of its own, or changes its behaviour with them.
_SPECIAL = re.compile(
    r"_|BASH.*|COMP_.*|DIRSTACK|E?UID|EPOCH.*|FUNCNAME|GROUPS|HIST.*|IFS|LC_.*|LANG|LINENO|OPT.*|PIPESTATUS"
    r"|POSIXLY_CORRECT|PPID|S?RANDOM|SECONDS|SHELLOPTS")
# Of these the plain ones change nothing about how bash reads the file.
_LOCALE = re.compile(r"LC_[A-Z]+|LANG")
_PLAIN_LOCALE = re.compile(r"(C|POSIX|[A-Za-z_]+(?=\.))?(\.(UTF-8|utf-?8))?")
# Kolla and TripleO begin their files with this line: it unsets every OS_ variable.
_CLEARS = re.compile(
    r"""for key in \$\( *set *\| *awk '\{FS="="\} */\^OS_/ *\{print \$1\}' *\) *; *do +unset +\$key *; *done[ \t]*(?=\n|$)""")
# Horizon writes this line after each domain: it unsets a variable that is empty.
_UNSETS_EMPTY = re.compile(
    r"""if \[ -z "\$\{?(?P<name>[A-Za-z_][A-Za-z0-9_]*)\}?" \] *; *then +unset +(?P=name) *; *fi[ \t]*(?=\n|$)""")
# TripleO ends its files with these lines, which are about the prompt alone.
_PROMPTS = re.compile(
    r"""if \[ -z "\$\{CLOUDPROMPT_ENABLED:-\}" \]; then\n"""
    r"""[ \t]*export PS1=\$\{PS1:-""\}\n"""
    r"""[ \t]*export PS1=\\\$\{OS_CLOUDNAME:\+"\(\\\$OS_CLOUDNAME\)"\}\\ \$PS1\n"""
    r"""[ \t]*export CLOUDPROMPT_ENABLED=1\n[ \t]*fi[ \t]*(?=\n|$)""")
_PROMPT = ("PS1", "CLOUDPROMPT_ENABLED")
_KNOWN_LINES = (_CLEARS, _UNSETS_EMPTY, _PROMPTS)


def read(path: str) -> dict[str, str]:
    """Return the variables that a file sets, by their names in it. Raises HostError, which names the line."""
    try:
        text = read_bytes(path).decode("utf-8-sig")
    except (OSError, ValueError) as error:   # ValueError: no UTF-8, or a path with a NUL
        raise HostError(f"openrc={path} cannot be read: {one_line(error)}") from None
    try:
        return parse(text)
    except _Refusal as refusal:
        raise HostError(f"openrc={path}, line {refusal.line}: {refusal}") from None


def parse(text: str) -> dict[str, str]:
    """Return the variables that a text sets, as after bash's `source`; line ends may be CRLF."""
    return _Reader(text.replace("\r\n", "\n")).read()


class _Refusal(Exception):
    def __init__(self, line: int, what: str) -> None:
        super().__init__(what)
        self.line = line


class _Reader:
    """Goes through a text once. `at` is where it is."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0
        self.found: dict[str, str] = {}
        self.known: dict[str, str] = {}      # what a $NAME stands for

    def read(self) -> dict[str, str]:
        if "\0" in self.text:
            raise self._refusal("a NUL byte", self.text.index("\0"))
        while self._next_command():
            if not any(map(self._known_line, _KNOWN_LINES)):
                self._command()
        return self.found

    def _refusal(self, what: str, at: int | None = None) -> _Refusal:
        return _Refusal(self.text.count("\n", 0, self.at if at is None else at) + 1, what)

    def _executes(self, what: str, at: int | None = None) -> _Refusal:
        return self._refusal(
            f"{what} would have to be executed, and this file is only read: "
            "write the values themselves, as export NAME='VALUE'", at)

    def _peek(self) -> str:
        return self.text[self.at:self.at + 1]

    def _next_command(self) -> bool:
        """Go to the next command; False at the end."""
        while self.at < len(self.text):
            if self._peek() == "\n":
                self.at += 1
            elif not self._blank():
                return True
        return False

    def _blank(self) -> bool:
        """Pass over a blank, a continued line or a comment."""
        if self._peek() in (" ", "\t"):
            self.at += 1
        elif self.text.startswith("\\\n", self.at):
            self.at += 2
        elif self._peek() == "#":
            end = self.text.find("\n", self.at)
            self.at = end if end >= 0 else len(self.text)
        else:
            return False
        return True

    def _known_line(self, pattern: re.Pattern[str]) -> bool:
        match = pattern.match(self.text, self.at)
        if not match:
            return False
        begun = {_CLEARS: [name for name in self.found if name.startswith("OS_")], _PROMPTS: _PROMPT}
        names = [match["name"]] if pattern is _UNSETS_EMPTY else begun[pattern]
        for name in names:
            if pattern is not _UNSETS_EMPTY or not self.found.get(name):
                self.found.pop(name, None)
        self.at = match.end()
        return True

    def _command(self) -> None:
        start = self.at
        self.known = self.found
        if self._peek() == ";":
            raise self._refusal("a ; without a command before it")
        before: list[str] = []       # the words before the first assignment or name
        assigned = False
        while self.at < len(self.text) and self._peek() not in "\n;":
            if self._blank():
                continue
            begin = self.at
            match = _ASSIGNMENT.match(self.text, self.at)
            if match and (not before or before in _DECLARES):
                self._assign(match, bool(before))
                assigned = True
                continue
            word, plain = self._word(), self.text[begin:self.at]
            if assigned and not before:
                raise self._executes(self._named(plain), begin)
            if word != plain:
                raise self._executes("a command with quotes or variables", begin)
            if before == ["unset"] and _NAME.fullmatch(plain):
                self.found.pop(plain, None)
                assigned = True
            elif before in _DECLARES and _NAME.fullmatch(plain):
                assigned = True      # `export NAME` changes no value
            elif not assigned and [*before, plain] in (*_DECLARES, ["unset"], ["set"], ["set", "-a"], ["set", "+a"]):
                before.append(plain)
            else:
                raise self._executes(self._named(before[0] if before else plain), start)
        if not assigned and before not in (["set", "-a"], ["set", "+a"], ["unset"]):
            raise self._executes(self._named(before[0]), start)
        if self._peek() == ";":
            self.at += 1
            while self._peek() and self._peek() in " \t":
                self.at += 1
            if self._peek() == ";":
                raise self._refusal("a ; without a command before it")

    @staticmethod
    def _named(word: str) -> str:
        return f"`{word}`" if word in _COMMANDS or [word] in _DECLARES else "a command"

    def _assign(self, match: re.Match[str], declared: bool) -> None:
        name, begin = match[1], self.at
        locale = _LOCALE.fullmatch(name)
        if _SPECIAL.fullmatch(name) and not locale:
            raise self._refusal(f"{name} has a meaning of its own for bash; take the line out")
        if declared and self.known is self.found:
            # Bash puts the values into all words of `export A=1 B=$A` before it sets A; with `A=1 B=$A` it sets A first.
            self.known = dict(self.found)
        self.at = match.end()
        self.found[name] = self._word(value=True, declared=declared)
        if locale and not _PLAIN_LOCALE.fullmatch(self.found[name]):
            raise self._refusal(f"{name} may change how bash reads this file; take it out", begin)

    def _word(self, value: bool = False, declared: bool = False) -> str:
        """Read to the end of a word. `value`: it stands behind NAME=, in a declaration where `declared`."""
        out: list[str] = []
        begin = self.at
        while self.at < len(self.text) and self._peek() not in _ENDS_A_WORD:
            char = self._peek()
            if char == "~" and value and not (self.at > begin and self.text[self.at - 1] in _BEFORE_TILDE):
                raise self._refusal("an unquoted ~ stands for a home; write the whole path, or quote it")
            if char in "|&()<>`" or (char == "{" and declared):
                raise self._executes(f"an unquoted {char}")
            if char == "'":
                out.append(self._single())
            elif char == '"':
                out.append(self._double())
            elif char == "$":
                out.append(self._dollar(False))
            elif char == "\\":
                out.append(self._escaped())
            else:
                out.append(char)
                self.at += 1
        return "".join(out)

    def _escaped(self) -> str:
        if self.at + 1 >= len(self.text):
            raise self._refusal("a \\ at the very end")
        char = self.text[self.at + 1]
        self.at += 2
        return "" if char == "\n" else char

    def _single(self) -> str:
        end = self.text.find("'", self.at + 1)
        if end < 0:
            raise self._refusal("a ' that is not closed")
        inside = self.text[self.at + 1:end]
        self.at = end + 1
        return inside

    def _double(self) -> str:
        begin, out = self.at, []
        self.at += 1
        while self._peek() != '"':
            char = self._peek()
            if not char:
                raise self._refusal('a " that is not closed', begin)
            if char == "`":
                raise self._executes("what stands in `...`")
            if char == "$":
                out.append(self._dollar(True))
            elif char == "\\" and self.text[self.at + 1:self.at + 2] in ("$", "`", '"', "\\", "\n"):
                out.append(self._escaped())
            else:
                out.append(char)
                self.at += 1
        self.at += 1
        return "".join(out)

    def _dollar(self, quoted: bool) -> str:
        """Return what a $ stands for: the value of a variable that is set before in this file, or itself."""
        begin, follows = self.at, self.text[self.at + 1:self.at + 2]
        match = (_BRACED if follows == "{" else _NAME).match(self.text, self.at + 1)
        if match:
            name = match[1] if follows == "{" else match[0]
            self.at = match.end()
            if name not in self.known:
                raise self._refusal(
                    f"${name} is not set before in this file; where a $ itself is meant, quote it: '...'", begin)
            if follows != "{" and self.text.startswith("\\\n", self.at):
                raise self._refusal(f"the line is continued within ${name}; write it on one line", begin)
            return self.known[name]
        if follows in ("(", "["):
            raise self._executes(f"${follows}...")
        if (follows and follows in "{*@#?-$!0123456789\\") or (follows in ("'", '"') and not quoted):
            raise self._refusal(
                "a $ with what follows it stands for something that only bash knows; "
                "where a $ itself is meant, quote it: '...'", begin)
        self.at += 1
        return "$"
