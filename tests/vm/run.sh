#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Runs tests under Debian's own kernel, in a virtual machine without a disk: its root is this
# machine's, read-only over 9p, under a tmpfs that takes what is written. The kernel's package is
# unpacked beside the build, not installed. Emulated where there is no KVM, and then a test takes
# ten times as long. What the tests say comes over the console, their logs into BUILD/vm/result;
# the exit status is theirs.
#
#   tests/vm/run.sh BUILD [PATTERN...]      the tests whose names fit, otherwise all of these two kinds
#   tests/vm/run.sh BUILD -c COMMAND        something else there
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd)
build=$(cd "$1" && pwd)
shift
if [ "${1:-}" = -c ]; then
	command=$2
else
	[ $# -gt 0 ] || set -- 'test_*' 'e2e_gate_*'
	# One after the other: an emulated machine has no time for two.
	command="set -f; exec python3 tests/run.py --build '$build' --jobs 1 $*"
fi
vm=$build/vm
modules='virtio_pci 9pnet_virtio 9p overlay tcp_diag'
limit_s=7200

fail()
{
	echo "vm: $*" >&2
	exit 1
}

# The package that linux-image-amd64 stands for today, in $vm/kernel.
kernel_fetch()
{
	package=$(apt-cache depends --important linux-image-amd64 |
		awk '$1 == "Depends:" && $2 ~ /^linux-image-/ { print $2; exit }')
	[ -n "$package" ] || fail "apt knows no linux-image-amd64"
	version=${package#linux-image-}
	[ -e "$vm/kernel/boot/vmlinuz-$version" ] && return
	rm -rf "$vm/kernel" "$vm/download"
	mkdir -p "$vm/download"
	(cd "$vm/download" && apt-get download -qq -o APT::Sandbox::User=root "$package") ||
		fail "apt-get cannot download $package: is apt-get update due?"
	dpkg-deb -x "$vm"/download/*.deb "$vm/kernel"
	rm -rf "$vm/download"
}

# The files of the modules and of those that they need, in the order in which they are loaded.
module_files()
{
	busybox depmod -b "$vm/kernel" "$version"
	awk -v wanted="$modules" '
		function need(file,  i, n, on) {
			if (file in done)
				return
			done[file] = 1
			n = split(needs[file], on, " ")
			for (i = n; i > 0; i--)
				need(on[i])
			print file
		}
		{
			file = substr($1, 1, length($1) - 1)
			name = file
			gsub(/^.*\/|\.ko.*$/, "", name)
			at[name] = file
			$1 = ""
			needs[file] = $0
		}
		END {
			n = split(wanted, names, " ")
			for (i = 1; i <= n; i++)
				if (names[i] in at)
					need(at[names[i]])
				else
					print "vm: the kernel has no module " names[i] > "/dev/stderr"
		}' "$vm/kernel/lib/modules/$version/modules.dep"
}

initramfs_make()
{
	root=$vm/initramfs
	rm -rf "$root"
	mkdir -p "$root/bin" "$root/modules" "$root/proc" "$root/lower" "$root/upper" "$root/root" "$root/tree"
	cp "$(command -v busybox)" "$root/bin/busybox"
	for applet in cp insmod mkdir mount sh switch_root umount; do
		ln -s busybox "$root/bin/$applet"
	done
	module_files >"$vm/modules"
	n=100
	while read -r file; do
		cp "$vm/kernel/lib/modules/$version/$file" "$root/modules/$n-${file##*/}"
		n=$((n + 1))
	done <"$vm/modules"
	cp "$top/tests/vm/init" "$root/init"
	cp "$top/tests/vm/inside" "$root/inside"
	chmod 755 "$root/init"
	printf '%s\n' "$command" >"$root/command"
	printf "tree='%s'\nbuild='%s'\n" "$top" "$build" >"$root/settings"
	(cd "$root" && find . | busybox cpio -o -H newc 2>/dev/null | gzip -1) >"$vm/initramfs.gz"
}

accel()
{
	if [ -w /dev/kvm ]; then
		echo "-accel kvm -cpu host"
	else
		echo "-accel tcg,thread=multi -cpu max"
	fi
}

mkdir -p "$vm/result"
rm -rf "$vm/result"/*
kernel_fetch
initramfs_make
echo "  kernel $version, $(accel)"
# shellcheck disable=SC2046
timeout "$limit_s" qemu-system-x86_64 $(accel) -smp 2 -m 4G -display none -serial stdio -monitor none \
	-no-reboot -nic none -kernel "$vm/kernel/boot/vmlinuz-$version" -initrd "$vm/initramfs.gz" \
	-append "console=ttyS0 quiet panic=-1" \
	-virtfs local,path=/,security_model=none,readonly=on,multidevs=remap,mount_tag=root \
	-virtfs "local,path=$vm/result,security_model=none,mount_tag=result" </dev/null ||
	fail "the machine ended with status $?"
[ -s "$vm/result/status" ] || fail "the machine ended before the tests did"
exit "$(cat "$vm/result/status")"
