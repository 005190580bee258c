# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Sourced after lib.sh: Debian packages of a suite that the machine's apt does
# not have, fetched by apt, which verifies them, with lists and a configuration
# of our own in the folder $apt; and which versions of packages fit what is
# installed. Only the mirror's address is the machine's, and nothing of the
# machine's apt is changed.

CODENAME=$(. /etc/os-release 2>/dev/null && echo "${VERSION_CODENAME:-}") || CODENAME=

# The machine's sources may be in either of apt's formats; apt reads them.
mirror() {
	# shellcheck disable=SC2016 # apt and awk fill these in
	apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(SITE)' 'Created-By: Packages' |
		awk -v "codename=$CODENAME" '$2 == "main" && $3 !~ /^cdrom:|security/ &&
			($1 == codename || $3 ~ /\/debian\/?$/) && !found++ { print $3 }'
}

# own_lists LABEL SUITE NEXT [ARCHITECTURE]: reads its package lists; NEXT is what to do
# where that cannot be.
own_lists() {
	local address keyring label=$1 suite=$2 next=$3 architecture=${4:-amd64}
	have apt-get dpkg-deb || die "Debian's $suite needs apt, which is not here" "$next"
	address=$(mirror)
	[ -n "$address" ] || die "the apt sources of this machine name no Debian mirror" \
		"add Debian's main suite there, or $next"
	for keyring in /usr/share/keyrings/debian-archive-keyring.{gpg,pgp} ''; do
		[ ! -s "$keyring" ] || break
	done
	[ -n "$keyring" ] || die "Debian's archive keys are not here" "install debian-archive-keyring"
	mkdir -p "$apt"/{lists,archives}/partial
	echo "deb [arch=$architecture target=Packages signed-by=$keyring] $address $suite main" >"$apt/sources.list"
	# The machine's hooks of `apt-get update` are not for these lists, and
	# the user _apt cannot write to a folder in a home.
	cat >"$apt/apt.conf" <<-EOF
		Dir::Etc::SourceList "$apt/sources.list";
		Dir::Etc::SourceParts "/dev/null";
		Dir::Etc::Preferences "/dev/null";
		Dir::Etc::PreferencesParts "/dev/null";
		Dir::State::Lists "$apt/lists";
		Dir::Cache "$apt";
		APT::Architecture "$architecture";
		APT::Sandbox::User "";
		APT::Get::List-Cleanup "false";
		Acquire::Languages "none";
		Acquire::Retries "3";
		#clear APT::Update::Pre-Invoke;
		#clear APT::Update::Post-Invoke;
		#clear APT::Update::Post-Invoke-Success;
	EOF
	own_apt "$label" update
}

# own_apt LABEL COMMAND...
own_apt() {
	local label=$1 log=$LOGS/${apt##*/}.log
	shift
	logged "$label" "$log" '(Get|Hit)' -- apt-get -c="$apt/apt.conf" -q \
		-o APT::Update::Error-Mode=any "$@" || {
		grep -E '^(E|Err|W)' "$log" | tail -n 5 >&2 || true
		die "$label failed, its output is in $log" \
			"check the network and the disk, then run the same command again: what was fetched is kept"
	}
}

# Options of apt-get with which it takes backports, see take_backports.
BACKPORTS=()
INSTALL=(--no-install-recommends --no-remove install)

# plan PACKAGE...: would apt install them beside all that is installed? Sets
# UPGRADES, what it would upgrade for them. Needs no root.
plan() {
	apt-get -s -y -q "${BACKPORTS[@]}" "${INSTALL[@]}" "$@" >"$LOGS/setup-plan.log" 2>&1 || return
	UPGRADES=$(sed -n 's/^Inst \([^ ]*\) \[.*/\1/p' "$LOGS/setup-plan.log" | sort)
}

# choose PACKAGE...: sets CHOSEN, what to ask apt for so that it removes nothing
# and, where the release itself has versions for that, upgrades nothing; and
# REFUSED, what it does not install beside what is there.
choose() {
	local package
	CHOSEN=("$@") REFUSED=() UPGRADED=
	! plan "$@" || [ -n "$UPGRADES" ] || return 0
	say "setup: looking for versions that fit what is installed"
	CHOSEN=()
	for package; do
		fits "$package" "$package/$CODENAME" || REFUSED+=("$package")
	done
}

# fits CHOICE...: adds to CHOSEN the first with which apt upgrades nothing
# more, else the first that apt accepts.
fits() {
	local choice best='' upgrades
	for choice; do
		plan "${CHOSEN[@]}" "$choice" || continue
		[ -n "$best" ] && [ "$UPGRADES" != "$UPGRADED" ] || best=$choice upgrades=$UPGRADES
		[ "$UPGRADES" != "$UPGRADED" ] || break
	done
	[ -n "$best" ] || return
	[ "$upgrades" = "$UPGRADED" ] || say "setup: $best depends on newer versions of what is installed," \
		"upgrading $(comm -13 <(echo "$UPGRADED") <(echo "$upgrades") | xargs)"
	CHOSEN+=("$best") UPGRADED=$upgrades
}

# take_backports NEXT: beside the machine's sources and lists, as they are.
take_backports() {
	local apt=$CACHE/apt-backports suite=$CODENAME-backports sources lists
	BACKPORTS=(-t "$suite")
	# shellcheck disable=SC2016 # apt fills this in
	! apt-get indextargets --format '$(RELEASE)' | grep -x "$suite" >/dev/null || return 0
	eval "$(apt-config shell sources Dir::Etc::SourceList/f lists Dir::State::Lists/d)"
	rm -rf "$apt/lists"
	mkdir -p "$apt/lists"
	ln -s "$lists"*_* "$apt/lists/"
	own_lists "setup: reading the package lists of $suite" "$suite" "$1"
	[ ! -f "$sources" ] || cat "$sources" >>"$apt/sources.list"
	BACKPORTS+=(-o "Dir::Etc::SourceList=$apt/sources.list" -o "Dir::State::Lists=$apt/lists"
		-o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=)
}

# Why apt refused the last plan, in its words.
in_the_way() {
	awk '/ will be REMOVED:$/ { getline; sub(/^ */, ""); why = "it would remove " $0; exit }
		/ unmet dependencies:$/ { getline; sub(/^ */, ""); why = $0; exit }
		/^E: / && !why { why = substr($0, 4) }
		END { print why }' "$LOGS/setup-plan.log"
}
