#!/bin/sh
# Servers for the benchmark, on loopback, with the defaults that are durable:
#   eval "$(bench/servers.sh start)"     # or: start pg, start restate
#   bench/servers.sh stop
# `start` prints the variables that the peers need. Data, logs and process ids are in
# $EDGEBENCH_PEERS/run. Who runs it as root needs Debian's user postgres.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
peers=${EDGEBENCH_PEERS:-$here/.peers}
mkdir -p "$peers/run"
run=$(cd "$peers/run" && pwd)
pg_port=${EDGEBENCH_PG_PORT:-55432}
ingress_port=${EDGEBENCH_INGRESS_PORT:-58080}
admin_port=${EDGEBENCH_ADMIN_PORT:-59070}
node_port=${EDGEBENCH_NODE_PORT:-55122}

fail() { echo "servers.sh: $*" >&2; exit 1; }
running() { [ -f "$run/$1.pid" ] && kill -0 "$(cat "$run/$1.pid")" 2>/dev/null; }
as_pg() { if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi; }

start_pg() {
  if ! running pg; then
    pg_ctl=$(find /usr/lib/postgresql -name pg_ctl 2>/dev/null | sort -V | tail -n 1)
    [ -n "$pg_ctl" ] || fail "there is no PostgreSQL: apt-get install postgresql"
    if [ ! -d "$run/pg" ]; then
      mkdir "$run/pg"
      chmod 711 "$run"
      [ "$(id -u)" != 0 ] || chown postgres "$run/pg"
      as_pg "${pg_ctl%pg_ctl}initdb" -D "$run/pg" -A trust -U bench >/dev/null
    fi
    options="-p $pg_port -c listen_addresses=127.0.0.1 -c unix_socket_directories="
    as_pg "$pg_ctl" -D "$run/pg" -w -l "$run/pg/log" -o "$options" start >/dev/null ||
      fail "PostgreSQL did not start: see $run/pg/log"
    head -n 1 "$run/pg/postmaster.pid" >"$run/pg.pid"
  fi
  echo "export PG_DSN=postgresql://bench@127.0.0.1:$pg_port/postgres"
}

start_restate() {
  if ! running restate; then
    server=$peers/restate_npm/node_modules/.bin/restate-server
    [ -x "$server" ] || fail "there is no Restate: npm install @restatedev/restate-server in $peers/restate_npm"
    mkdir -p "$run/restate"
    RESTATE_BIND_IP=127.0.0.1 RESTATE_BIND_ADDRESS=127.0.0.1:$node_port \
      RESTATE_INGRESS__BIND_ADDRESS=127.0.0.1:$ingress_port \
      RESTATE_ADMIN__BIND_ADDRESS=127.0.0.1:$admin_port \
      RESTATE_DISABLE_TELEMETRY=true RESTATE_LOG_FILTER=warn \
      "$server" --base-dir "$run/restate" --node-name bench >"$run/restate.log" 2>&1 &
    echo $! >"$run/restate.pid"
    python3 - "$admin_port" "$ingress_port" <<'WAIT' || fail "Restate did not start: see $run/restate.log"
import socket, sys, time
ends = time.monotonic() + 60
for port in sys.argv[1:]:
    while True:
        try:
            socket.create_connection(("127.0.0.1", int(port)), 1).close()
            break
        except OSError:
            if time.monotonic() > ends:
                sys.exit(1)
            time.sleep(0.1)
WAIT
  fi
  echo "export RESTATE_INGRESS=http://127.0.0.1:$ingress_port"
  echo "export RESTATE_ADMIN=http://127.0.0.1:$admin_port"
}

stop() {
  if running "$1"; then
    # PostgreSQL waits for its clients after TERM, and not after INT.
    if [ "$1" = pg ]; then signal=INT; else signal=TERM; fi
    kill -s "$signal" "$(cat "$run/$1.pid")"
    while running "$1"; do sleep 0.1; done
  fi
  rm -f "$run/$1.pid"
}

action=${1:-}
[ $# -eq 0 ] || shift
for server in ${*:-pg restate}; do
  case $action/$server in
    start/pg | start/restate) "start_$server" ;;
    stop/pg | stop/restate) stop "$server" ;;
    *) fail "usage: servers.sh start|stop [pg] [restate]" ;;
  esac
done
