# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Sourced after lib.sh: Debian packages of a suite that the machine's apt does
# not have, fetched by apt, which verifies them, with lists and a configuration
# of our own in the folder $apt. Only the mirror's address is the machine's,
# and nothing of the machine's apt is changed.

# The machine's sources may be in either of apt's formats; apt reads them.
mirror() {
	local codename targets
	codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
	# shellcheck disable=SC2016 # apt fills these in
	targets=$(apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(SITE)' \
		'Created-By: Packages' | grep -v -e security -e ' cdrom:' || true)
	{
		grep -E "^$codename main " <<<"$targets" ||
			grep -E '^[a-z-]+ main .*/debian/?$' <<<"$targets" || true
	} | sed -n '1s/.* //p'
}

# configure_apt SUITE NEXT: NEXT is what to do where that cannot be.
configure_apt() {
	local address keyring
	have apt-get dpkg-deb || die "Debian's $1 needs apt, which is not here" "$2"
	address=$(mirror)
	[ -n "$address" ] || die "the apt sources of this machine name no Debian mirror" \
		"add Debian's main suite there, or $2"
	for keyring in /usr/share/keyrings/debian-archive-keyring.{gpg,pgp} ''; do
		[ ! -s "$keyring" ] || break
	done
	[ -n "$keyring" ] || die "Debian's archive keys are not here" "install debian-archive-keyring"
	mkdir -p "$apt"/{lists,archives}/partial
	echo "deb [arch=amd64 target=Packages signed-by=$keyring] $address $1 main" >"$apt/sources.list"
	# The machine's hooks of `apt-get update` are not for these lists, and
	# the user _apt cannot write to a folder in a home.
	cat >"$apt/apt.conf" <<-EOF
		Dir::Etc::SourceList "$apt/sources.list";
		Dir::Etc::SourceParts "/dev/null";
		Dir::Etc::Preferences "/dev/null";
		Dir::Etc::PreferencesParts "/dev/null";
		Dir::State::Lists "$apt/lists";
		Dir::Cache "$apt";
		APT::Architecture "amd64";
		APT::Sandbox::User "";
		Acquire::Languages "none";
		Acquire::Retries "3";
		#clear APT::Update::Pre-Invoke;
		#clear APT::Update::Post-Invoke;
		#clear APT::Update::Post-Invoke-Success;
	EOF
}

# own_apt LABEL COMMAND...
own_apt() {
	local label=$1 log=$LOGS/${apt##*/}.log
	shift
	logged "$label" "$log" '(Get|Hit)' -- apt-get -c="$apt/apt.conf" -q \
		-o APT::Update::Error-Mode=any "$@" || {
		grep -E '^(E|Err|W)' "$log" | tail -n 5 >&2 || true
		die "$label failed, its output is in $log" \
			"mend the network or the disk and run the same command again: what was fetched is kept"
	}
}
