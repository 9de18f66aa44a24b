#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The libraries of another architecture, for `make ARCH=aarch64`: what apt says belongs to them,
# with an apt state of their own, unpacked into a folder and not installed.
#
#   tests/cross.sh ARCH FOLDER PACKAGE...
set -eu
arch=$1 root=$2
shift 2
case $arch in
aarch64) debian=arm64 ;;
x86_64) debian=amd64 ;;
*) debian=$arch ;;
esac
mkdir -p "$root"
root=$(cd "$root" && pwd)
apt=$root.apt
rm -rf "$root" "$apt"
mkdir -p "$apt/state/lists/partial" "$apt/cache/archives/partial" "$root/usr/lib" "$root/usr/bin" "$root/usr/sbin"
touch "$apt/state/status"
cat >"$apt/conf" <<END
APT::Architecture "$debian";
APT::Architectures { "$debian"; };
APT::Install-Recommends "false";
APT::Sandbox::User "root";
Dir::State "$apt/state";
Dir::State::status "$apt/state/status";
Dir::Cache "$apt/cache";
END
export APT_CONFIG="$apt/conf"
apt-get update -qq
apt-get install -y -qq --download-only "$@" >/dev/null
# As Debian 12 has it: /lib is /usr/lib.
for folder in lib bin sbin; do
	ln -s "usr/$folder" "$root/$folder"
done
for package in "$apt"/cache/archives/*.deb; do
	dpkg-deb --fsys-tarfile "$package" | tar -x -C "$root" --keep-directory-symlink --no-same-owner
done
rm -rf "$apt"
