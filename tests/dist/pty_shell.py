"""An interactive shell in a pseudo-terminal, in which a line is typed and completed with Tab."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time

# Far more than a busy machine takes for a line.
MAX_SECONDS = 60

# Ctrl-P prints the line in brackets and empties it: keys are handled in order, so a completion before it has ended. It
# means nothing to a terminal that zsh has left to a command for a moment.
PRINT_LINE = b"\x10"
BASH = r"""
PS1='ready> '
print_line() { printf '\n[[%s]]\n' "$READLINE_LINE"; READLINE_LINE=; READLINE_POINT=0; }
bind -x '"\C-p": print_line'
bind 'set completion-query-items 0'
bind 'set page-completions off'
bind 'set enable-bracketed-paste off'
"""
ZSH = r"""
PS1='ready> '
unsetopt zle_bracketed_paste auto_menu
print_line() { zle -I; print -r -- "[[$BUFFER]]"; BUFFER=; }
zle -N print_line
bindkey '^P' print_line
fpath=($HOME/functions $fpath)
autoload -Uz compinit
compinit -u -D
LISTMAX=10000
"""
FISH = r"""
function fish_prompt; echo -n 'ready> '; end
function print_line; set -l line (commandline); printf '\n[[%s]]\n' "$line"; commandline ''; end
bind \cp print_line
"""

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[=>()][B0]?|\x1b\][^\x07]*\x07|\r")
# A terminal answers where the cursor is, and what it can do; fish waits for that.
QUESTIONS = {b"\x1b[6n": b"\x1b[1;1R", b"\x1b[c": b"\x1b[?62;c", b"\x1b[0c": b"\x1b[?62;c"}


class Shell:
    def __init__(self, command, home, folder):
        environment = {"HOME": str(home), "TERM": "xterm", "LC_ALL": "C.UTF-8"}
        environment["PATH"] = f"{home}/bin{os.pathsep}{os.environ['PATH']}"
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            try:
                os.chdir(folder)
                os.execve(command[0], [str(word) for word in command], environment)
            finally:
                os._exit(127)
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 120, 200, 0, 0))
        self.seen = ""
        self.until("ready> ")

    def tab(self, line, tabs=1):
        """The line after Tab, and what the shell has shown meanwhile."""
        self.seen = ""
        os.write(self.terminal, line.encode() + b"\t" * tabs + PRINT_LINE)
        shown = self.until(r"\[\[(.*?)\]\]")
        completed = re.search(r"\[\[(.*?)\]\]", shown, re.DOTALL)
        return completed[1], shown[: completed.start()]

    def until(self, pattern):
        end = time.monotonic() + MAX_SECONDS
        while not re.search(pattern, self.seen, re.DOTALL):
            readable, _, _ = select.select([self.terminal], [], [], max(0, end - time.monotonic()))
            if not readable:
                raise AssertionError(f"the shell shows no {pattern!r}:\n{self.seen}")
            try:
                read = os.read(self.terminal, 65536)
            except OSError as error:
                raise AssertionError(f"the shell has ended:\n{self.seen}") from error
            for question, answer in QUESTIONS.items():
                if question in read:
                    os.write(self.terminal, answer)
            self.seen += ESCAPES.sub("", read.decode(errors="replace"))
        return self.seen

    def close(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.terminal)
