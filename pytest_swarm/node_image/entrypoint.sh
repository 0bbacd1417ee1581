#!/bin/bash
# What runs as process 1 of a node: it prepares the container for an engine, then keeps `dockerd` and `swarmd`
# running. Each is restarted on its own after a crash; the node's tasks outlive a crash of `swarmd`.
#
#   SWARM_ENGINE=orchestrator  (default) `swarmd` answers on SWARM_SOCKET, the inner engine on SWARM_ENGINE_SOCKET
#   SWARM_ENGINE=docker        the engine alone answers on SWARM_SOCKET: Docker's own swarm mode, our yardstick
#
# The swarm's state is on a small disk of its own, which can be full without harm to anything else. If the file
# /var/lib/swarm-clock is there, `swarmd` takes the time of day from a clock that this file puts ahead or back.
#
# `swarmd` writes to the container's log; the engine to /var/log/dockerd.log.
set -u

export SWARM_ENGINE="${SWARM_ENGINE:-orchestrator}"
export SWARM_SOCKET="${SWARM_SOCKET:-/var/run/docker.sock}"
export SWARM_ENGINE_SOCKET="${SWARM_ENGINE_SOCKET:-/run/engine/docker.sock}"
export PYTHONUNBUFFERED=1

readonly engine_log=/var/log/dockerd.log
readonly state_disk=/var/lib/swarm-disk state_disk_size=256M # the former names the file that is the disk
readonly clock_file=/var/lib/swarm-clock
readonly containerd_socket=/run/containerd/containerd.sock
readonly first_delay=0.1 longest_delay=5 # seconds between restarts; doubled at each crash
readonly healthy_after=10                # a process that lived this long starts again at the first delay
readonly stop_tenths=70                  # tenths of a second each process is given to stop
# The engine asks a registry for images that are not here (`service create` does so for each). The cluster's
# network leads nowhere, and waiting for those names took 20 s; behind a proxy where nobody listens it fails at once.
readonly refusing_proxy=http://127.0.0.1:9

log() { echo "node: $*" >&2; }

# A container without --privileged gets these read-only; the inner engine must create control groups. A host
# with version 1 has one mount for each controller, one with version 2 a single mount at /sys/fs/cgroup.
make_writable() {
  local mount_point
  for mount_point in /sys $(awk '$3 ~ /^cgroup2?$/ { print $2 }' /proc/mounts); do
    mount -o remount,bind,rw "$mount_point" || log "cannot make $mount_point writable"
  done
  # Parts of /proc are covered by mounts that hide them or keep them read-only, /proc/sys among them.
  for mount_point in $(awk '$2 ~ "^/proc/" { print $2 }' /proc/mounts); do
    umount "$mount_point" || log "cannot uncover $mount_point"
  done
}

# On version 2 a group that holds processes may not hand controllers to its children, so the processes of
# the node move one level down, as in Docker's own image of this kind.
delegate_control_groups() {
  [ -f /sys/fs/cgroup/cgroup.controllers ] || return 0
  mkdir -p /sys/fs/cgroup/init
  xargs -rn1 </sys/fs/cgroup/cgroup.procs >/sys/fs/cgroup/init/cgroup.procs 2>/dev/null
  sed 's/^/+/; s/ / +/g' /sys/fs/cgroup/cgroup.controllers >/sys/fs/cgroup/cgroup.subtree_control
}

tune_kernel() {
  sysctl -qw net.ipv4.ip_forward=1 || log "cannot forward packets"
  # Published ports answer on the node's loopback too: its packets must be allowed to leave for a task.
  sysctl -qw net.ipv4.conf.all.route_localnet=1 || log "published ports will not answer on 127.0.0.1"
  # Only some hosts let a container change these; the defaults do for hundreds of connections.
  sysctl -qw net.netfilter.nf_conntrack_max=262144 2>/dev/null
  sysctl -qw net.core.somaxconn=4096 2>/dev/null
}

# The networks the node is on, comma-separated: other nodes, and a registry among them, are reached directly.
own_subnets() { ip -4 route show scope link | awk '{ print $1 }' | paste -sd,; }

# The swarm's state gets a small disk at the node's first start, or for good none where there are no loop devices; then
# only a full disk cannot be tried. A node without the disk it had would not know itself, and does not start.
mount_state_disk() {
  local disk directory=/var/lib/swarm
  [ "$SWARM_ENGINE" = docker ] && directory=/var/lib/docker/swarm
  mkdir -p "$directory"
  mknod /dev/loop-control c 10 237 2>/dev/null
  disk=$(cat "$state_disk" 2>/dev/null)
  [ "$disk" = none ] && return 0
  if [ -n "$disk" ]; then
    mount_loop "$disk" "$directory" && return 0
    log "the disk of the swarm's state cannot be mounted"
    exit 1
  fi
  # All nodes see the loop devices of the machine: a name of its own tells each which one is its own already.
  disk=/var/lib/swarm-$(cat /proc/sys/kernel/random/uuid).ext4
  truncate -s "$state_disk_size" "$disk" # it takes only the room of what is written
  if mkfs.ext4 -q -m 0 -E lazy_itable_init=1,lazy_journal_init=1 "$disk" && mount_loop "$disk" "$directory"; then
    echo "$disk" >"$state_disk"
  else
    log "the swarm's state has no disk of its own: there is no loop device"
    rm -f "$disk"
    echo none >"$state_disk"
  fi
}

mount_loop() { # file, directory
  local device major minor try
  # Nodes that start together race for the same free device.
  for ((try = 0; try < 50; try++)); do
    device=$(losetup -f 2>/dev/null) || break
    device=${device%% *} # it may add that the file is missing
    if [ ! -e "$device" ] && IFS=: read -r major minor <"/sys/block/${device#/dev/}/dev"; then
      mknod "$device" b "$major" "$minor"
    fi
    mount -o loop "$1" "$2" 2>/dev/null && return 0
    sleep 0.05
  done
  return 1
}

declare -A process started delay # of each name: its process id, when it was started, the delay before the next time

start_containerd() {
  printf 'version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n' >/run/containerd.toml
  containerd --config /run/containerd.toml >>"$engine_log" 2>&1 &
}

# On its own, dockerd starts its containerd and looks for it again only after a second; and a containerd of
# its own would end with it. So containerd comes first, and dockerd when it listens.
start_dockerd() {
  local try socket=$SWARM_ENGINE_SOCKET
  [ "$SWARM_ENGINE" = docker ] && socket=$SWARM_SOCKET
  mkdir -p "${socket%/*}"
  rm -f /var/run/docker.pid # of an engine that was killed: it would refuse to start while that id is in use
  for ((try = 0; try < 100; try++)); do
    [ -S "$containerd_socket" ] && break
    pause 0.05
  done
  # Tasks outlive a crash of the engine as they do one of `swarmd`. Docker's swarm mode refuses to run with this.
  local -a survival=(--live-restore)
  [ "$SWARM_ENGINE" = docker ] && survival=()
  # Without the variable the engine asks a registry before each task, although its image is here.
  DOCKER_SERVICE_PREFER_OFFLINE_IMAGE=1 dockerd --host "unix://$socket" --containerd "$containerd_socket" \
    --http-proxy "$refusing_proxy" --https-proxy "$refusing_proxy" --no-proxy "127.0.0.0/8,$(own_subnets)" \
    --data-root /var/lib/docker --storage-driver overlay2 --shutdown-timeout 3 "${survival[@]}" >>"$engine_log" 2>&1 &
}

start_swarmd() {
  local -a clock=()
  [ -e "$clock_file" ] && clock=(env "LD_PRELOAD=$(echo /usr/lib/*/faketime/libfaketimeMT.so.1)"
    "FAKETIME_TIMESTAMP_FILE=$clock_file" FAKETIME_NO_CACHE=1 FAKETIME_DONT_FAKE_MONOTONIC=1 NO_FAKE_STAT=1
    FAKETIME_DISABLE_SHM=1)
  "${clock[@]}" python3 -m orchestrator &
}

start() { # name
  "start_$1"
  process[$1]=$!
  started[$1]=$SECONDS
}

# A `sleep` in the foreground would hold back the signal until it ends.
pause() {
  sleep "$1" &
  wait $!
}

restart() { # name, exit status
  local name=$1
  ((SECONDS - started[$name] >= healthy_after)) && delay[$name]=$first_delay
  log "$name ended with status $2, starting it again in ${delay[$name]} s"
  [ "$name" = swarmd ] || tail -n 3 "$engine_log" >&2
  pause "${delay[$name]}"
  delay[$name]=$(awk -v delay="${delay[$name]}" -v longest="$longest_delay" \
    'BEGIN { print (2 * delay < longest) ? 2 * delay : longest }')
  start "$name"
}

stop() { # name
  local tenth identifier=${process[$1]:-}
  [ -n "$identifier" ] || return 0
  kill -TERM "$identifier" 2>/dev/null
  for ((tenth = 0; tenth < stop_tenths; tenth++)); do
    kill -0 "$identifier" 2>/dev/null || return 0
    sleep 0.1
  done
  log "$1 did not stop in time"
}

# `swarmd` first: it still needs the engine to say goodbye. What is left ends with this process.
stop_node() {
  trap '' TERM INT
  stop swarmd
  stop dockerd
  exit 0
}

trap stop_node TERM INT
make_writable
delegate_control_groups
tune_kernel
mount_state_disk

services=(containerd dockerd)
[ "$SWARM_ENGINE" = docker ] || services=(containerd swarmd dockerd)
for name in "${services[@]}"; do
  delay[$name]=$first_delay
  start "$name"
done

while true; do
  wait -n -p ended "${process[@]}"
  status=$?
  for name in "${services[@]}"; do
    [ "${process[$name]}" = "${ended:-}" ] && restart "$name" "$status"
  done
done
