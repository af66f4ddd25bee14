"""A device for the real adb: what adbd does, in the few commands that matter, on this machine.

It speaks adb's protocol over TCP, so that adb's client and server are the real ones. Its shell is
the machine's, with /data/local/tmp in a folder of the test, `getprop` from a table, and a
`benchmark_model` that prints transcripts (see benchmark_model/README.md).
"""

import contextlib
import os
import shutil
import socket
import struct
import subprocess
import threading
from pathlib import Path

import pytest

from tests.helpers.loopback import free_port, processes

TRANSCRIPTS = Path(__file__).parents[1] / "devices" / "benchmark_model"
PLACE = "/data/local/tmp"


class Adb:
    """An adb server of its own, which sees no device but those of the test."""

    def __init__(self, folder, monkeypatch):
        if shutil.which("adb") is None:
            pytest.skip("there is no adb: install it (Debian: apt-get install adb)")
        monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(free_port()))
        monkeypatch.setenv("HOME", str(folder))  # adb keeps its key there
        monkeypatch.setenv("ADB_MDNS", "0")
        self.devices = []

    def run(self, *words):
        done = subprocess.run(["adb", *words], capture_output=True, text=True, timeout=60)
        return done.stdout + done.stderr

    def connect(self, device):
        self.devices.append(device)
        return self.run("connect", device.serial)

    def stop(self):
        for device in self.devices:
            device.stop()
        self.run("kill-server")


class Device:
    """One device; `transcripts` are what its benchmark_model prints for each file, in turn."""

    def __init__(
        self, folder, transcripts=("cpu_dense.txt", "cpu_small.txt"), machines="arm64-v8a"
    ):
        self.folder, self.machines = folder, machines
        self.trusting, self.full, self.drops, self.calls = True, False, 0, []
        self.hangs_on = None
        folder.mkdir()
        self.set_transcripts(*transcripts)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.serial = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.connections = []
        threading.Thread(target=self._accept, daemon=True).start()

    def set_transcripts(self, *names, status=0):
        lines = [
            f"*/{place}.tflite*) cat {TRANSCRIPTS / name};;" for place, name in enumerate(names)
        ]
        binary = self.folder / "benchmark_model"
        binary.write_text(
            f'#!/bin/sh\ncase "$*" in\n{os.linesep.join(lines)}\nesac\nexit {status}\n'
        )
        binary.chmod(0o755)

    def left_behind(self):
        return sorted(path.name for path in self.folder.iterdir() if path.name != "benchmark_model")

    def runs(self, words):
        """Whether a program with such a command line runs."""
        return any(command == words for _, _, command in processes())

    def stop(self):
        self.listener.close()
        self.drop()

    def drop(self):
        for connection in self.connections:
            with contextlib.suppress(OSError):  # closed already
                connection.shutdown(socket.SHUT_RDWR)
        self.connections.clear()

    def _accept(self):
        while True:
            try:
                connection = self.listener.accept()[0]
            except OSError:
                return
            self.connections.append(connection)
            threading.Thread(target=_Transport(self, connection).serve, daemon=True).start()


class _Transport:
    """One connection of the adb server."""

    def __init__(self, device, connection):
        self.device, self.connection = device, connection
        self.lock, self.streams = threading.Lock(), {}

    def serve(self):
        try:
            while header := self._read(24):
                command, first, second, size = struct.unpack("<4sIIIII", header)[:4]
                self._handle(command, first, second, self._read(size))
        except OSError:
            self.connection.close()

    def _read(self, size):
        content = b""
        while len(content) < size:
            piece = self.connection.recv(size - len(content))
            if not piece:
                raise ConnectionError
            content += piece
        return content

    def _write(self, command, first, second, content=b""):
        number = int.from_bytes(command, "little")
        sizes = len(content), sum(content), number ^ 0xFFFFFFFF
        with self.lock:
            self.connection.sendall(struct.pack("<6I", number, first, second, *sizes) + content)

    def _handle(self, command, first, second, content):
        if command == b"CNXN" and self.device.trusting:
            self._write(b"CNXN", 0x01000000, 4096, b"device::ro.product.name=loopback;")
        elif command == b"CNXN" or (command == b"AUTH" and first == 2):
            self._write(b"AUTH", 1, 0, b"x" * 20)  # a question that no key answers
        elif command == b"OPEN":
            service = content.rstrip(b"\0").decode()
            sync = b"" if service.startswith("sync:") else None
            self.streams[first] = sync
            self._write(b"OKAY", first, first)
            if sync is None:
                work = threading.Thread(target=self._shell, args=(first, service[6:]), daemon=True)
                work.start()
        elif command == b"WRTE":
            self._write(b"OKAY", first, first)
            if self.streams.get(first) is not None:
                self.streams[first] = self._sync(first, self.streams[first] + content)
        elif command == b"CLSE":
            self.streams.pop(first, None)

    def _shell(self, stream, command):
        device = self.device
        if device.hangs_on and device.hangs_on in command:
            return  # no answer, ever
        if "benchmark_model --" in command:
            device.calls.append(command)
            if device.drops:
                device.drops -= 1
                device.drop()
                return
        properties = {"ro.product.model": "Loopback", "ro.build.version.release": "14"}
        properties["ro.product.cpu.abilist"] = device.machines
        cases = "".join(f"{key}) echo '{value}';;" for key, value in properties.items())
        shell = f"getprop() {{ case $1 in {cases} esac; }}; {command}"
        shell = shell.replace(PLACE, str(device.folder))
        done = subprocess.run(["sh", "-c", shell], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        output = done.stdout.replace(str(device.folder).encode(), PLACE.encode())
        for start in range(0, len(output), 4096):
            self._write(b"WRTE", stream, stream, output[start : start + 4096])
        self._write(b"CLSE", stream, stream)

    def _sync(self, stream, content):
        """Does what is complete in the content and returns the rest."""
        while len(content) >= 8:
            kind, size = content[:4], int.from_bytes(content[4:8], "little")
            if kind == b"DONE":
                self._write(b"WRTE", stream, stream, self._save())
                content = content[8:]
                continue
            if len(content) < 8 + size:
                break
            body, content = content[8 : 8 + size], content[8 + size :]
            if kind in (b"STAT", b"LST2", b"STA2"):
                self._write(b"WRTE", stream, stream, b"STAT" + bytes(12))
            elif kind == b"QUIT":
                self._write(b"CLSE", stream, stream)
            elif kind == b"SEND":
                self.target, self.received = body.decode().rpartition(",")[0], b""
            elif kind == b"DATA":
                self.received += body
        return content

    def _save(self):
        if self.device.full:
            message = b"No space left on device"
            return b"FAIL" + len(message).to_bytes(4, "little") + message
        path = Path(self.target.replace(PLACE, str(self.device.folder)))
        path.write_bytes(self.received)
        return b"OKAY" + bytes(4)
