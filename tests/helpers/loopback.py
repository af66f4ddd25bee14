"""A real sshd on the loopback interface, with keys of its own, for one test module."""

import contextlib
import getpass
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def processes():
    """The number, the parent's number and the command line of each process."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has just ended
            parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
            command = (folder / "cmdline").read_text().replace("\0", " ").strip()
            yield int(folder.name), int(parent), command


class Board:
    """An sshd, and what a client needs to know to log in."""

    def __init__(self, folder: Path):
        for program in ("ssh", "ssh-keygen", SSHD):
            if shutil.which(program) is None:
                pytest.skip(f"there is no {program}: install openssh-server and openssh-client")
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # sshd asks for it; otherwise the system's start
        self.folder, self.port = folder, free_port()
        self.storage = folder / "storage"  # where the board keeps temporary files
        self.storage.mkdir()
        for name in ("host", "user", "stranger"):
            words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name]
            subprocess.run(words, check=True)
        (folder / "sshd_config").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\n"
            f"AuthorizedKeysFile {folder}/user.pub\nStrictModes no\nUsePAM no\n"
            "PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\n"
            f"PidFile none\nSetEnv TMPDIR={self.storage}\n"
        )
        host_key = (folder / "host.pub").read_text()
        (folder / "known").write_text(f"[127.0.0.1]:{self.port} {host_key}")
        self.log = (folder / "sshd.log").open("w")
        self.process = subprocess.Popen(
            [SSHD, "-D", "-e", "-f", folder / "sshd_config"], stderr=self.log
        )
        self._wait()

    def _wait(self):
        for _ in range(200):
            if self.process.poll() is not None:
                pytest.skip(f"sshd does not start here: {(self.folder / 'sshd.log').read_text()}")
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise AssertionError("sshd does not listen")

    def address(self, python, key="user", known="known", port=None):
        """The address of this board, for a client with one of the keys."""
        config = self.folder / f"config-{key}-{known}"
        config.write_text(
            f"IdentityFile {self.folder}/{key}\nIdentitiesOnly yes\nIdentityAgent none\n"
            f"UserKnownHostsFile {self.folder}/{known}\nGlobalKnownHostsFile none\n"
        )
        user = getpass.getuser()
        place = f"ssh://{user}@127.0.0.1:{port or self.port}"
        return f"{place}?python={python}&config={config}"

    def sessions(self):
        """The processes of sshd that serve a connection."""
        return [pid for pid, parent, _ in processes() if parent == self.process.pid]

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.log.close()
