#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# debians.sh [CASE...]: make setup and make doctor as a new user has them, from
# nothing, in chroots of bare Debians, with the last commit. Cases (all):
#   12        Debian 12
#   12-qemu   the same with qemu-utils of bookworm-backports
#   12-user   the same as 12-qemu, for a user with sudo
#   13        Debian 13
# COMMAND, such as 'make run', is what is done there at last. Needs root,
# debootstrap and the network. The bare systems are kept in the folder DEBIANS
# (/var/tmp/bpf-async-debians), the chroots are removed.

. "$(dirname "$0")/../../scripts/lib.sh"
. "$SCRIPTS/apt.sh"
. "$SCRIPTS/steps.sh"

DEBIANS=${DEBIANS:-/var/tmp/bpf-async-debians}

# All mounts are gone when this ends, however it ends.
if [ "${1:-}" != --in-namespace ]; then
	[ "$(id -u)" = 0 ] || die "this needs root" "run it as root"
	have debootstrap || die "debootstrap is not here" "install it"
	exec unshare --mount --pid --fork --kill-child "$0" --in-namespace "$@"
fi
shift

# inside COMMAND...: as the user in the clone, with a new user's PATH.
inside() {
	"${offline[@]}" chroot "$root" setpriv --reuid "$user" --regid "$user" --init-groups --inh-caps=-all \
		env -u BPF_ASYNC_CACHE -u BPF_ASYNC_OUTER --chdir="$home/bpf" \
		USER="$user" HOME="$home" PATH=/usr/local/bin:/usr/bin:/bin "$@"
}

apt_inside() { DEBIAN_FRONTEND=noninteractive chroot "$root" apt-get -y -qq --no-install-recommends "$@" >/dev/null; }

# shellcheck disable=SC2016 # dpkg-query fills these in
versions() { chroot "$root" dpkg-query -W -f '${Package} ${Version}\n'; }
configuration() { (cd "$root/etc/apt" && find . -type f -exec sha256sum {} + | sort); }

# The folder $root, with what an installed Debian has in its sources, and what one
# needs to get this repository.
bare() {
	local archive=$DEBIANS/$codename.tar address security
	address=$(mirror)
	# shellcheck disable=SC2016 # and apt this
	security=$(apt-get indextargets --format '$(SITE)' | grep -m 1 security) || security=$address-security
	rm -rf "$root"
	if [ ! -f "$archive" ]; then
		debootstrap --variant=minbase "$codename" "$root" "$address" >"$DEBIANS/$codename.log"
		tar -C "$root" -cf "$archive.part" .
		mv "$archive.part" "$archive"
	fi
	mkdir -p "$root"
	tar -C "$root" -xf "$archive"
	echo force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/fast"
	cp /etc/resolv.conf "$root/etc/"
	printf 'deb %s main\n' "$address $codename" "$address $codename-updates" "$security $codename-security" \
		>"$root/etc/apt/sources.list"
	mount -t proc proc "$root/proc"
	mount --rbind /dev "$root/dev"
	apt_inside update
	apt_inside install ca-certificates git make
	# Where a proxy of this machine's network signs with a key of its own.
	cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
}

# One case, in the folder $root as $user.
debian() {
	local case=$1 codename=trixie root=$DEBIANS/$1 user=root home=/root offline=() backports
	[[ $case != 12* ]] || codename=bookworm
	bare
	backports=$root/etc/apt/sources.list.d/backports.list
	[[ $case != *-* ]] || {
		echo "deb $(mirror) $codename-backports main" >"$backports"
		apt_inside update
		apt_inside -t "$codename-backports" install qemu-utils
		rm "$backports"
		apt_inside update
	}
	[[ $case != *-user ]] || {
		user=new home=/home/new
		apt_inside install sudo
		chroot "$root" useradd --create-home --shell /bin/bash "$user"
		echo "$user ALL=(ALL) NOPASSWD: ALL" >"$root/etc/sudoers.d/$user"
	}
	# shellcheck disable=SC2153 # ROOT is of lib.sh
	git clone -q --no-hardlinks "$ROOT" "$root$home/bpf"
	chroot "$root" chown -R "$user:" "$home/bpf"
	versions >"$root.before"
	configuration >"$root.apt"
	inside make setup
	inside make doctor
	configuration | diff "$root.apt" - >&2 || die "setup changed apt's configuration, see above"
	echo "removed or upgraded (before, after), if any:"
	versions | join -a 1 "$root.before" - | awk 'NF < 3 || $2 != $3'
	# Once nothing is missing neither root nor the network is needed.
	rm -f "$root/etc/sudoers.d/$user"
	offline=(unshare --net)
	inside make setup
	inside python3 -B tests/setup/test_apt.py
	offline=()
	[ -z "${COMMAND:-}" ] || inside bash -c "$COMMAND"
}

# case_of NAME: in a shell of its own, so that what fails ends only that.
case_of() {
	local status=0
	"$0" --in-namespace --case "$1" || status=$?
	umount -R "$DEBIANS/$1"/{proc,dev} 2>/dev/null || true
	rm -rf --one-file-system "${DEBIANS:?}/$1"{,.apt,.before}
	return "$status"
}

mkdir -p "$DEBIANS"
if [ "${1:-}" = --case ]; then
	debian "$2"
	exit
fi
lock "$DEBIANS/lock" "$DEBIANS"
[ $# -gt 0 ] || set -- 12 12-qemu 12-user 13
for name; do
	step "Debian $name" case_of "$name"
done
finish
