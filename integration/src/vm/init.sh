#!/bin/busybox sh
# The first process of the virtual machine. The kernel's console is the first serial port; what the command prints
# goes to another one, `PORT`. The resource limits are the kernel's own: convis has to raise what it needs.
/bin/busybox --install -s /bin
export PATH=/bin HOME=/tmp
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev 2>/dev/null
mount -t tmpfs tmp /tmp
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tracefs tracefs /sys/kernel/tracing
mount -t bpf bpf /sys/fs/bpf
mkdir -p /dev/pts && mount -t devpts devpts /dev/pts
ln -sf /proc/self/fd /dev/fd
ip link set lo up
for module in /modules/*.ko; do
    [ -e "$module" ] && insmod "$module"
done
. /settings
# A machine that nobody waits for any more ends by itself.
(sleep "$LIMIT_SECONDS" && poweroff -f) &
cd /tmp
stty -F "$PORT" -onlcr
setsid -c sh /command <>"$PORT" >&0 2>&1
# One line even when the kernel prints too, and before the power goes.
echo "<0>convis-vm: exit $?" >/dev/kmsg
poweroff -f
