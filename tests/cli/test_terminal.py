import subprocess
import sys


def shown(*before: str) -> list[str]:
    code = (
        "import logging, os; from cxrscreen.cli.terminal import undisturbed_terminal\n"
        f"{';'.join(before)}\n"
        "with undisturbed_terminal() as console:\n"
        "    os.write(2, b'Corrupt JPEG data\\n')\n"
        "    console.print('1 of 2')\n"
        "os.write(2, b'after\\n')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stderr.splitlines()


def test_what_libraries_print_does_not_reach_the_terminal() -> None:
    assert shown() == ["1 of 2", "after"]


def test_debugging_shows_everything() -> None:
    debugging = shown("logging.getLogger('cxrscreen').setLevel(logging.DEBUG)")
    assert sorted(debugging) == ["1 of 2", "Corrupt JPEG data", "after"]


def test_a_program_without_stderr_is_no_fault() -> None:
    assert shown("import sys; sys.stderr = None") == ["Corrupt JPEG data", "after"]
