#!/usr/bin/env bash
# A team's MLflow on PostgreSQL, on this machine.
#
#   cluster/mlflow.sh up DIR     installs PostgreSQL if it is missing (Debian, as root), starts both,
#                                data below DIR; prints the address. Again: they start anew, data stays
#   cluster/mlflow.sh down DIR   ends them; the data stay
#
# Variables: MLFLOW_PORT (5000) and POSTGRES_PORT (5433); MLFLOW_WORKERS (4 processes);
#   MLFLOW_HOST (127.0.0.1: this machine only; 0.0.0.0: the network, then also
#   MLFLOW_ALLOWED_HOSTS, the names by which browsers and runner call it, as "mlflow.lan:5000");
#   MLFLOW_AUTH_ADMIN_PASSWORD (turns on users and passwords; needs pip install 'mlflow[auth]').
# The database's password is made once, in DIR/password, and is in no command line.
set -euo pipefail

usage() { sed -n '2,6s/^# \{0,1\}//p' "$0" >&2; exit 2; }
[ $# -eq 2 ] || usage
command=$1 dir=$(realpath -m "$2")
here=$(cd "$(dirname "$0")/.." && pwd)
port=${MLFLOW_PORT:-5000} pg_port=${POSTGRES_PORT:-5433} host=${MLFLOW_HOST:-127.0.0.1}

# PostgreSQL refuses to run as root
as_postgres() {
    if [ "$(id -u)" = 0 ]; then
        setpriv --reuid=postgres --regid=postgres --clear-groups env HOME="$dir" "$@"
    else
        "$@"
    fi
}

binaries() { ls -d /usr/lib/postgresql/*/bin 2> /dev/null | sort -V | tail -n 1; }

up() {
    [ -n "$(binaries)" ] || {
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql > /dev/null
    }
    local bin mlflow
    bin=$(binaries)
    mlflow=${MLFLOW:-$(command -v "$here/.venv/bin/mlflow" mlflow | head -n 1)}
    mlflow=$(realpath --no-symlinks "$mlflow" 2> /dev/null || true)
    [ -x "$mlflow" ] || { echo "mlflow.sh: there is no mlflow; pip install '.[postgres]'" >&2; exit 1; }
    mkdir -p "$dir/artifacts" "$dir/sockets"
    (umask 077; [ -f "$dir/password" ] || head -c 24 /dev/urandom | base64 | tr '+/' '-_' > "$dir/password")
    [ "$(id -u)" != 0 ] || { mkdir -p "$dir/pg"; chown -R postgres:postgres "$dir/pg" "$dir/sockets" "$dir/password"; }
    if [ ! -f "$dir/pg/PG_VERSION" ]; then
        as_postgres "$bin/initdb" --pgdata="$dir/pg" --username=mlflow --auth=scram-sha-256 \
            --pwfile="$dir/password" --encoding=UTF8 > /dev/null
    fi
    as_postgres "$bin/pg_ctl" --pgdata="$dir/pg" --log="$dir/pg/log" --wait --timeout=60 start > /dev/null \
        --options="-c listen_addresses=127.0.0.1 -c port=$pg_port -c unix_socket_directories='$dir/sockets' -c max_connections=300"
    PGPASSWORD=$(cat "$dir/password") "$bin/psql" -h 127.0.0.1 -p "$pg_port" -U mlflow -d postgres -qAtc \
        "SELECT 1 FROM pg_database WHERE datname = 'mlflow'" | grep -q 1 ||
        PGPASSWORD=$(cat "$dir/password") "$bin/createdb" -h 127.0.0.1 -p "$pg_port" -U mlflow mlflow
    serve "$mlflow"
}

serve() {
    local options=(--host "$host" --port "$port" --workers "${MLFLOW_WORKERS:-4}"
        --artifacts-destination "$dir/artifacts")
    [ -z "${MLFLOW_ALLOWED_HOSTS:-}" ] || options+=(--allowed-hosts "$MLFLOW_ALLOWED_HOSTS")
    if [ -n "${MLFLOW_AUTH_ADMIN_PASSWORD:-}" ]; then
        options+=(--app-name basic-auth)
        (umask 077; [ -f "$dir/secret" ] || head -c 32 /dev/urandom | base64 > "$dir/secret")
        MLFLOW_FLASK_SERVER_SECRET_KEY=$(cat "$dir/secret")
        export MLFLOW_FLASK_SERVER_SECRET_KEY
    fi
    cd "$dir"  # where MLflow keeps its users
    MLFLOW_BACKEND_STORE_URI="postgresql://mlflow:$(cat "$dir/password")@127.0.0.1:$pg_port/mlflow" \
        MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false MLFLOW_DISABLE_TELEMETRY=true \
        setsid "$1" server "${options[@]}" > "$dir/mlflow.log" 2>&1 < /dev/null &
    echo $! > "$dir/mlflow.pid"
    local end=$((SECONDS + 120))
    until python3 -c "import urllib.request as u; u.urlopen('http://127.0.0.1:$port/health', timeout=5)" 2> /dev/null; do
        kill -0 "$(cat "$dir/mlflow.pid")" 2> /dev/null && [ $SECONDS -lt $end ] || {
            echo "mlflow.sh: the server did not come up; the end of $dir/mlflow.log:" >&2
            tail -n 5 "$dir/mlflow.log" >&2
            exit 1
        }
        sleep 0.3
    done
    echo "export MLFLOW_TRACKING_URI=http://${MLFLOW_HOST:-127.0.0.1}:$port" | sed "s/0\.0\.0\.0/$(hostname)/"
}

down() {
    if [ -f "$dir/mlflow.pid" ]; then
        kill -- "-$(cat "$dir/mlflow.pid")" 2> /dev/null || true
        rm "$dir/mlflow.pid"
    fi
    [ ! -f "$dir/pg/postmaster.pid" ] ||
        as_postgres "$(binaries)/pg_ctl" --pgdata="$dir/pg" --mode=fast --wait stop > /dev/null
}

case $command in
    up) up ;;
    down) down ;;
    *) usage ;;
esac
