#!/usr/bin/env bash
# Makes FOLDER/python: an aarch64 Python under qemu with NumPy and ai-edge-litert, as on a board.
# On Debian and its relatives, without changing the system: arm64 packages are only unpacked.
# Usage: arm_python.sh FOLDER PYTHON, where PYTHON has the packages for this machine.
set -euo pipefail
folder="$(realpath --canonicalize-missing "$1")" python="$2"

for program in qemu-aarch64-static apt-get dpkg; do
  if ! command -v "$program" >/dev/null; then
    echo "$program is missing: this needs Debian or a relative, and its package qemu-user-static." >&2
    exit 1
  fi
done
[[ -x "$folder/python" ]] && exit

rm -rf "$folder"
mkdir -p "$folder"/{root/proc,debs,lists/partial,cache/archives/partial}
options=(-qq -o APT::Architecture=arm64 -o APT::Architectures::=arm64 -o Dir::State::status=/dev/null
  -o "Dir::State::lists=$folder/lists" -o "Dir::Cache=$folder/cache" -o "APT::Sandbox::User=$(id -un)")
apt-get "${options[@]}" update
(cd "$folder/debs" && apt-get "${options[@]}" download python3.11-minimal libpython3.11-minimal \
  libpython3.11-stdlib libc6 libstdc++6 libgcc-s1 zlib1g libexpat1 libssl3 libffi8 libbz2-1.0 liblzma5)
for package in "$folder"/debs/*.deb; do dpkg -x "$package" "$folder/root"; done

version() { "$python" -c "from importlib.metadata import version; print(version('$1'))"; }
"$python" -m pip install --quiet --disable-pip-version-check --target "$folder/packages" --no-deps \
  --only-binary=:all: --python-version 3.11 --platform manylinux_2_27_aarch64 \
  --platform manylinux_2_28_aarch64 --platform manylinux2014_aarch64 \
  "ai-edge-litert==$(version ai-edge-litert)" "numpy==$(version numpy)"

# qemu shows programs this machine's /proc/cpuinfo, with which the runtime crashes; a file below
# the root of the arm64 packages goes before it. These are the words of a Cortex-A72.
for ((core = 0; core < $(nproc); core++)); do
  printf '%s\t: %s\n' processor "$core" Features 'fp asimd evtstrm crc32 cpuid' \
    'CPU implementer' 0x41 'CPU architecture' 8 'CPU variant' 0x0 'CPU part' 0xd08 'CPU revision' 3
  echo
done >"$folder/root/proc/cpuinfo"

rm -rf "$folder"/{debs,lists,cache}
cat >"$folder/python.new" <<EOF
#!/bin/sh
PYTHONPATH='$folder/packages' exec qemu-aarch64-static -cpu cortex-a72 -L '$folder/root' \\
  '$folder/root/usr/bin/python3.11' "\$@"
EOF
chmod +x "$folder/python.new"
mv "$folder/python.new" "$folder/python"  # last: what is there is whole
