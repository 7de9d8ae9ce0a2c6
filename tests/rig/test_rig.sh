#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# test_rig.sh: the rig passes everything through, and what is in it is a true KVM.
set -u
here=$(dirname "$(realpath "$0")")
rig=$here/rig
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
failures=0
exec 3>&1 # ok reports here: its own output may be redirected

ok() { # ok NAME COMMAND...
	local name=$1
	shift
	if "$@"; then
		echo "ok - $name" >&3
	else
		echo "not ok - $name" >&3
		failures=$((failures + 1))
	fi
}

exits() { # exits STATUS COMMAND...
	local want=$1 got
	shift
	"$@"
	got=$?
	[ "$got" -eq "$want" ] || { echo "# exit status $got, not $want" >&2 && return 1; }
}

# One run for all that can share it.
head -c 3000000 /dev/urandom >bytes
mkdir shared
ok "exit status 77" exits 77 "$rig" --timeout 100 --out shared --out file --env GREETING='a b' \
	sh -c 'cat bytes; printf "e\0rr" >&2; echo "$GREETING" >file; cp bytes shared/copy
	       pwd >shared/pwd; echo gone >bytes; exit 77' >out 2>err
ok "stdout is exact" cmp bytes out
ok "stderr is exact, and apart" cmp err <(printf 'e\0rr')
ok "a file comes back, --env goes in" grep -qx 'a b' file
ok "a folder is shared" cmp bytes shared/copy
ok "the working folder is kept" grep -qx "$work" shared/pwd
ok "the host's own file is untouched" test "$(stat -c %s bytes)" -eq 3000000

ok "exit status 0, and nothing is left running or waiting" \
	exits 0 "$rig" --timeout 100 sh -c 'sleep 1000 & exit 0'
ok "a missing command is 127" exits 127 "$rig" --timeout 100 no-such-command 2>err
ok "and named" grep -q no-such-command err
ok "a time-out is 124, output so far is kept" \
	exits 124 "$rig" --timeout 2 sh -c 'echo before; sleep 1000' >out 2>err
ok "time-out said" grep -q 'killed after 2 s' err
ok "output before it" grep -qx before out
ok "L1's end is 125" exits 125 "$rig" sh -c 'echo c >/proc/sysrq-trigger' 2>err
ok "with its console's tail" grep -q 'console:.*sysrq_handle_crash' err
ok "QEMU's end is 125" exits 125 "$rig" --cpu no-such-cpu true 2>err
ok "with its words" grep -q 'no-such-cpu' err
ok "no kernel: what to run" exits 125 env LUPINE_CACHE="$work/none" "$rig" true 2>err
ok "in a line" grep -q "L1's kernel missing; run $here/setup" err
ok "a module that does not exist is 125" exits 125 "$rig" --modprobe no-such-module true 2>err
ok "and named" grep -q 'cannot load module no-such-module' err
ok "a file to copy that does not exist is 125" exits 125 "$rig" --copy no-such-file true 2>err
ok "and named" grep -qx 'rig: --copy no-such-file: no such file' err
ok "an unknown option is 125" exits 125 "$rig" --no-such-option true 2>err
ok "--auto in a machine with KVM runs the command there" \
	exits 124 "$rig" --timeout 100 "$rig" --auto --timeout 1 sleep 1000
ok "tap devices, modules on demand, files of the host in /tmp" \
	exits 0 "$rig" --timeout 100 --modprobe loop sh -ec "
		ip tuntap add name tap0 mode tap; ip link set tap0 up; ip link add br0 type bridge
		test -b /dev/loop0; test -s $work/bytes; test -d /sys/kernel/debug/kvm
		mkdir -p /tmp/new/folder"
ok "what it writes is not here" test ! -e /tmp/new/folder

cc -O2 -Wall -Wextra -Werror -o probe "$here/kvm_probe.c" || exit 1
"$rig" --timeout 100 ./probe >one 2>&1 &
first=$!
"$rig" --timeout 100 --smp 2 ./probe >two 2>&1 &
second=$!
ok "two at once: KVM on 1 CPU" wait $first
ok "two at once: KVM on 2 CPUs" wait $second
ok "exits counted" grep -q '^exits 2 ' one two

ok "icount, first" exits 0 "$rig" --icount --timeout 100 ./probe >one
ok "icount, second" exits 0 "$rig" --icount --timeout 100 ./probe >two
ok "agree within 0.5 %" awk '{ n[NR] = $4 } END {
	d = n[1] - n[2]; if (d < 0) d = -d; exit !(NR == 2 && d <= n[1] / 200) }' one two

mkdir tmp
TMPDIR=$work/tmp "$rig" sleep 1000 &
running=$!
sleep 4
kill -TERM $running
wait $running
ok "SIGTERM ends it" test $? -eq 143
ok "with its QEMU" sh -c '! pgrep -P '$running
ok "and no folder is left" rmdir tmp

[ $failures -eq 0 ]
