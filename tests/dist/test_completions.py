"""Completion with Tab in real shells, with the scripts where the examples of `completions` put them."""

import unittest
from pathlib import Path

import pty_shell
import support
from support import PROGRAM, needed, run

BASH_COMPLETION = Path("/usr/share/bash-completion/bash_completion")


class Completion:
    """What every shell does; a shell is started once for the tests of its class."""

    shell = None

    @classmethod
    def setUpClass(cls):
        cls.home = support.scratch() / cls.__name__
        work = cls.home / "work"
        (work / "folder").mkdir(parents=True)
        (work / "settings.toml").touch()
        (cls.home / "bin").mkdir()
        (cls.home / "bin/countersign").symlink_to(PROGRAM)
        cls.shell = pty_shell.Shell(cls.command(), cls.home, work)

    @classmethod
    def tearDownClass(cls):
        if cls.shell is not None:
            cls.shell.close()

    @classmethod
    def file(cls, name, text):
        path = cls.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def assert_completes(self, typed, expected, tabs=1):
        completed, shown = self.shell.tab(typed, tabs)
        # zsh puts an equals sign where fish and bash put a space: both are right.
        self.assertEqual(completed.rstrip(" ="), expected, shown)

    def assert_lists(self, typed, *expected, without=()):
        _, shown = self.shell.tab(typed, self.tabs_that_list)
        words = shown.replace(typed.strip(), "").split()
        self.assertEqual((set(expected) - set(words), set(without) & set(words)), (set(), set()), shown)

    def test_commands(self):
        self.assert_completes("countersign se", "countersign serve")
        self.assert_lists("countersign ", "serve", "exec", "man", "help", without=["settings.toml"])

    def test_flags(self):
        self.assert_completes("countersign serve --up", "countersign serve --upstream")
        self.assert_lists("countersign serve --allow-o", "--allow-origin", "--allow-other-users", without=["--listen"])

    def test_flags_of_other_programs_are_not_offered(self):
        self.assert_lists("countersign call --", "--header", "--data", without=["--api-key", "--path-template"])

    def test_values_of_flags(self):
        self.assert_lists("countersign serve --log-format ", "auto", "text", "json", without=["settings.toml"])
        self.assert_completes("countersign serve --log-format te", "countersign serve --log-format text")
        self.assert_completes("countersign serve --log-format=te", "countersign serve --log-format=text")
        self.assert_completes("countersign serve --trust-documents=f", "countersign serve --trust-documents=false")

    def test_no_file_where_a_flag_takes_text(self):
        self.assert_completes("countersign serve --listen set", "countersign serve --listen set")
        self.assert_completes("countersign serve --listen=set", "countersign serve --listen=set")
        self.assert_completes("countersign sandbox --user set", "countersign sandbox --user set")

    def test_files_and_folders(self):
        self.assert_completes("countersign serve --config set", "countersign serve --config settings.toml")
        self.assert_completes("countersign serve --config=set", "countersign serve --config=settings.toml")
        self.assert_completes("countersign sandbox --write ", "countersign sandbox --write folder/")
        self.assert_completes("countersign man ", "countersign man folder/")

    def test_topics_of_help(self):
        self.assert_completes("countersign help se", "countersign help serve")
        self.assert_lists("countersign help ", "serve", "wait", without=["settings.toml"])

    def test_values_of_arguments(self):
        self.assert_completes("countersign completions po", "countersign completions powershell")
        self.assert_lists("countersign completions ", "bash", "zsh", without=["settings.toml", "--help"])
        self.assert_lists("countersign call ", "GET", "DELETE", without=["settings.toml", "--header"])

    def test_exec_completes_a_command_line_behind_the_dashes(self):
        self.assert_completes("countersign exec ", "countersign exec --")
        self.assert_completes("countersign exec --li", "countersign exec --listen")
        self.assert_completes("countersign exec -- mkfi", "countersign exec -- mkfifo")
        self.assert_completes("countersign exec --log-level info -- mkfi", "countersign exec --log-level info -- mkfifo")
        self.assert_completes("countersign exec -- cat set", "countersign exec -- cat settings.toml")
        self.assert_completes("countersign exec -- cat --up", "countersign exec -- cat --up")


class WithArguments:
    """In shells that know the arguments of other programs."""

    def test_exec_completes_the_arguments_of_the_program(self):
        needed("git")
        self.assert_completes("countersign exec -- git cherry-p", "countersign exec -- git cherry-pick")


class BashWithoutItsPackage(Completion, unittest.TestCase):
    tabs_that_list = 2

    @classmethod
    def command(cls):
        script = cls.file("script", run(PROGRAM, "completions", "bash").stdout)
        return [needed("bash"), "--noprofile", "--rcfile", cls.file("rc", f"{pty_shell.BASH}source {script}\n"), "-i"]


class Bash(WithArguments, Completion, unittest.TestCase):
    tabs_that_list = 2

    @classmethod
    def command(cls):
        if not BASH_COMPLETION.exists():
            raise unittest.SkipTest("SKIPPED: bash-completion is not here")
        cls.file(".local/share/bash-completion/completions/countersign", run(PROGRAM, "completions", "bash").stdout)
        rc = cls.file("rc", f"source {BASH_COMPLETION}\n{pty_shell.BASH}")
        return [needed("bash"), "--noprofile", "--rcfile", rc, "-i"]

    def test_script_has_no_fault_that_shellcheck_knows_in_what_is_not_generated(self):
        path = support.ROOT / "src/cli/completions/line.bash"
        # The names that another file calls, and a placeholder.
        run(needed("shellcheck"), "--shell=bash", "--exclude=SC2329,SC2317", path)


class Zsh(WithArguments, Completion, unittest.TestCase):
    tabs_that_list = 1

    @classmethod
    def command(cls):
        cls.file("functions/_countersign", run(PROGRAM, "completions", "zsh").stdout)
        cls.file(".zshrc", pty_shell.ZSH)
        return [needed("zsh"), "-i"]


class Fish(WithArguments, Completion, unittest.TestCase):
    tabs_that_list = 1

    @classmethod
    def command(cls):
        cls.file(".config/fish/completions/countersign.fish", run(PROGRAM, "completions", "fish").stdout)
        cls.file(".config/fish/config.fish", pty_shell.FISH)
        return [needed("fish")]


if __name__ == "__main__":
    unittest.main()
