"""Started at log-on: written once, read back as written, removed; the examples say the same."""

import os
import shutil
import subprocess
import sys
from configparser import RawConfigParser
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.harness import PROJECT, Instrument
from tests.platforms import on_posix, on_windows
from watcher import startup
from watcher.errors import WatcherError
from watcher.startup import Command
from watcher.startup.windows import Shortcut, split
from watcher.startup.xdg import Autostart

EXAMPLES = PROJECT / "examples"
RUN = ["-m", "watcher", "run", "--headless", "--config"]
PLACES = ("XDG_CONFIG_HOME", "APPDATA", "PROGRAMDATA")


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PLACES:
        monkeypatch.setenv(name, str(tmp_path / "home"))


def command(tmp_path: Path) -> Command:
    file = tmp_path / "watcher.yaml"
    file.touch()
    return startup.command_for(str(file))


def test_it_is_written_once_read_back_and_removed(tmp_path: Path) -> None:
    wanted = command(tmp_path)
    assert startup.read(False) is None
    assert startup.install(wanted, False)
    assert not startup.install(wanted, False)
    assert startup.read(False) == wanted
    assert startup.problems(wanted) == []
    path = startup.kind().path(False)
    assert os.listdir(os.path.dirname(path)) == [os.path.basename(path)]
    assert startup.remove(False)
    assert not startup.remove(False)
    assert startup.read(False) is None


def test_it_starts_this_interpreter_with_absolute_paths(tmp_path: Path) -> None:
    wanted = command(tmp_path)
    assert wanted.arguments == (*RUN, str(tmp_path / "watcher.yaml"))
    assert wanted.folder == str(tmp_path)
    assert os.path.samefile(os.path.dirname(wanted.program), os.path.dirname(sys.executable))


def test_another_configuration_replaces_it(tmp_path: Path) -> None:
    wanted, other = command(tmp_path), command(tmp_path)
    other = Command(other.program, (*RUN, str(tmp_path / "other.yaml")), other.folder)
    startup.install(other, False)
    assert startup.problems(other) == [f"there is no configuration {tmp_path / 'other.yaml'}"]
    assert startup.install(wanted, False)
    assert startup.read(False) == wanted


def test_what_is_not_there_any_more_is_told(tmp_path: Path) -> None:
    gone = Command(str(tmp_path / "python"), (*RUN, str(tmp_path / "c")), str(tmp_path / "f"))
    assert len(startup.problems(gone)) == 3


def test_the_one_file_that_it_starts_must_be_there(tmp_path: Path) -> None:
    whole = command(tmp_path)
    file = tmp_path / "watcher.pyz"
    alone = Command(whole.program, (str(file), *whole.arguments[2:]), whole.folder)
    assert startup.problems(alone) == [f"there is no file {file}"]
    file.touch()
    assert startup.problems(alone) == []


def test_an_entry_that_can_not_be_read_is_written_anew(tmp_path: Path) -> None:
    path = Path(startup.kind().path(False))
    path.parent.mkdir(parents=True)
    path.write_bytes(b"nonsense")
    with pytest.raises(WatcherError, match="can't be read"):
        startup.read(False)
    assert startup.install(command(tmp_path), False)
    assert startup.read(False)


@on_posix
@pytest.mark.parametrize(
    "name",
    ["a b", 'q"uote', "per%cent %f", "dollar$HOME`id`", "back\\slash", "n\newline", "\udcff"],
)
def test_names_are_data(tmp_path: Path, name: str) -> None:
    """R13"""
    wanted = Command("/usr/bin/python 3", (*RUN, f"/etc/{name}/watcher.yaml"), f"/etc/{name}")
    path = str(tmp_path / "watcher.desktop")
    Autostart().write(path, wanted)
    assert Autostart().read(path) == wanted


@on_posix
def test_a_percent_sign_is_no_field_code(tmp_path: Path) -> None:
    path = tmp_path / "watcher.desktop"
    Autostart().write(str(path), Command("/bin/%f", (), "/"))
    assert 'Exec="/bin/%%f"' in path.read_text(encoding="utf-8")


@on_posix
@pytest.mark.skipif(shutil.which("desktop-file-validate") is None, reason="not installed")
def test_freedesktops_own_tool_accepts_it(tmp_path: Path) -> None:
    path = str(tmp_path / "watcher.desktop")
    Autostart().write(path, command(tmp_path))
    subprocess.run(["desktop-file-validate", path], check=True)


@pytest.mark.parametrize("name", ["watcher.yaml", "two words.yaml", "日本.yaml"])
def test_a_windows_command_line_is_split_as_it_was_joined(name: str) -> None:
    words = (*RUN, rf"C:\Program Data\{name}")
    assert split(subprocess.list2cmdline(words)) == words


WHERE = [
    r"C:\p.exe",
    r"C:\Users\Jürgen\py\pythonw.exe",
    r"C:\Users\François\Łukasz\日本\pythonw.exe",
    "D:\\two words\\[red] %TEMP%\\pythonw.exe",
    "C:\\" + "x" * 240 + "\\pythonw.exe",
    r"\\srv\share\py\pythonw.exe",
    r"\\srv\inst$\Jürgen 日本\pythonw.exe",
    "\\\\srv\\share\\" + "日" * 200 + "\\pythonw.exe",
]


@pytest.mark.parametrize("program", WHERE)
def test_R13_a_shortcut_is_read_as_it_was_written_wherever_python_is(
    tmp_path: Path, program: str
) -> None:
    wanted = Command(program, (*RUN, r"C:\a ü.yaml"), r"C:\日本\Jürgen")
    path = str(tmp_path / "watcher.lnk")
    for written in (replace(wanted, program=program[:1].lower() + program[1:]), wanted):
        Shortcut().write(path, written)
        assert Shortcut().read(path) == wanted
    content = Path(path).read_bytes()
    assert all(name.encode("utf-16-le") in content for name in program.split("\\")[1:])


@pytest.mark.parametrize("program", ["C:\\" + "x" * 260, "C:\\a😀b\\pythonw.exe", "C:\\\ud800.exe"])
def test_what_a_shortcut_has_no_words_for_is_told_with_another_way(
    program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(startup, "kind", Shortcut)
    monkeypatch.setenv("APPDATA", str(tmp_path))
    with pytest.raises(WatcherError, match="a shortcut") as raised:
        startup.install(Command(program, ("a😀",), "C:\\"), False)
    assert "task-scheduler.xml" in raised.value.mend
    assert os.listdir(os.path.dirname(Shortcut().path(False))) == []


@on_windows
def test_the_shortcut_starts_minimised(tmp_path: Path) -> None:
    import pylnk3  # noqa: PLC0415 - only there

    startup.install(command(tmp_path), False)
    link = pylnk3.parse(startup.kind().path(False))
    assert link.window_mode == pylnk3.WINDOW_MINIMIZED


def test_by_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Instrument(tmp_path / "i") as instrument:
        assert run(instrument, "show").returncode == 1
        assert "written" in run(instrument, "install", "--config").stdout
        assert "is there already" in run(instrument, "install", "--config").stdout
        shown = run(instrument, "show")
        assert (shown.returncode, "run --headless" in shown.stdout) == (0, True)
        doctor = instrument.run("doctor")
        assert "ok    startup: " in doctor.stdout
        instrument.config_file.rename(tmp_path / "away.yaml")
        assert run(instrument, "show").returncode == 1
        assert "removed" in run(instrument, "remove").stdout


def run(instrument: Instrument, *arguments: str) -> subprocess.CompletedProcess[str]:
    config = [str(instrument.config_file)] if "--config" in arguments else []
    return subprocess.run(
        [sys.executable, "-m", "watcher", "startup", *arguments, *config],
        env=instrument.environment(), input="", capture_output=True, encoding="utf-8", check=False,
        errors="backslashreplace", cwd=instrument.folder,
    )  # fmt: skip


def test_the_task_for_windows_starts_the_same() -> None:
    space = "{http://schemas.microsoft.com/windows/2004/02/mit/task}"
    top = ElementTree.parse(EXAMPLES / "task-scheduler.xml").getroot()
    execute = top.find(f"{space}Actions/{space}Exec")
    assert execute is not None
    assert execute.findtext(f"{space}Command", "").endswith(r"\pythonw.exe")
    assert list(split(execute.findtext(f"{space}Arguments", "")))[:-1] == RUN
    assert top.find(f"{space}Triggers/{space}BootTrigger") is not None
    assert top.find(f"{space}Settings/{space}RestartOnFailure") is not None
    assert top.findtext(f"{space}Settings/{space}ExecutionTimeLimit") == "PT0S"  # for ever


def test_the_unit_for_systemd_starts_the_same() -> None:
    unit = RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(EXAMPLES / "watcher.service", encoding="utf-8")
    python, file, *rest = unit["Service"]["ExecStart"].split()
    assert (python, file) == ("/usr/bin/python3", "/opt/watcher/watcher.pyz")
    assert rest[:-1] == RUN[2:]
    assert unit["Service"]["Restart"] == "on-failure"
    assert unit["Service"]["RestartPreventExitStatus"].split() == ["2", "3"]


@on_posix
@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_itself_accepts_the_unit(tmp_path: Path) -> None:
    """With a user and a program that are here: it looks for both."""
    text = (EXAMPLES / "watcher.service").read_text(encoding="utf-8")
    text = text.replace("User=instrument", "User=root").replace("/usr/bin/python3", "/bin/true")
    unit = tmp_path / "watcher.service"
    unit.write_text(text, encoding="utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False
    )
    assert "watcher.service" not in done.stderr, done.stderr
    assert done.returncode == 0 or "Failed to" in done.stderr, done.stderr
