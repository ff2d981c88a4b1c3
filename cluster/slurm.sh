#!/usr/bin/env bash
# A Slurm of one node with accounting, on this machine: for tests, and to try hydra/launcher=slurm.
#
#   cluster/slurm.sh up DIR      installs what is missing (Debian, as root) and starts it; with
#                                source DIR/environment   sbatch, squeue and runner find it
#   cluster/slurm.sh down DIR    ends it; DIR can be removed then
#
# The node has all CPUs of the machine and two stand-in GPUs (/dev/null and /dev/zero), which are
# handed out as real ones are: a job that asks for one gets CUDA_VISIBLE_DEVICES.
# Without accounting a killed job would never be heard of again, so it is there too (MariaDB).
set -euo pipefail

usage() { sed -n '2,6s/^# \{0,1\}//p' "$0" >&2; exit 2; }
[ $# -eq 2 ] || usage
command=$1 dir=$(realpath -m "$2") host=$(hostname -s)
PATH=$PATH:/usr/sbin:/sbin  # where the daemons are

# process NAME COMMAND...: start a daemon that stays in the foreground, its log and pid below $dir
process() {
    local name=$1; shift
    setsid "$@" > "$dir/$name.log" 2>&1 < /dev/null &
    echo $! > "$dir/$name.pid"
}

# until_true SECONDS NAME COMMAND...: wait for the daemon of that name, until a command succeeds
until_true() {
    local end=$((SECONDS + $1)) name=$2; shift 2
    until "$@" > /dev/null 2>&1; do
        if [ $SECONDS -ge $end ] || ! kill -0 "$(cat "$dir/$name.pid")" 2> /dev/null; then
            echo "slurm.sh: $name did not start; the end of $dir/$name.log:" >&2
            tail -n 20 "$dir/$name.log" >&2
            exit 1
        fi
        sleep 0.1
    done
}

up() {
    [ "$(id -u)" = 0 ] || { echo "slurm.sh: starting Slurm needs root" >&2; exit 1; }
    local name
    for name in slurmctld slurmd slurmdbd munged mariadbd; do
        command -v $name > /dev/null && continue
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
            slurmctld slurmd slurm-client munge slurmdbd mariadb-server > /dev/null
        break
    done
    mkdir -p "$dir"/{munge,mysql,state,spool}
    chmod 755 "$dir"
    [ -f "$dir/munge/key" ] || head -c 64 /dev/urandom > "$dir/munge/key"
    chmod 400 "$dir/munge/key"; chown -R munge:munge "$dir/munge"; chown mysql:mysql "$dir/mysql"
    process munged setpriv --reuid=munge --regid=munge --clear-groups munged --foreground --force \
        --key-file="$dir/munge/key" --socket="$dir/munge/socket" --pid-file="$dir/munge/pid" \
        --log-file="$dir/munge/log" --seed-file="$dir/munge/seed"
    [ -d "$dir/mysql/mysql" ] || mariadb-install-db --user=mysql --datadir="$dir/mysql" \
        --skip-test-db > "$dir/install-db.log"
    process mariadbd mariadbd --no-defaults --user=mysql --datadir="$dir/mysql" \
        --socket="$dir/mysql/socket" --bind-address=127.0.0.1 --port=33060 \
        --innodb-buffer-pool-size=64M
    local sql=(mariadb --no-defaults --socket="$dir/mysql/socket")
    until_true 60 mariadbd "${sql[@]}" -e "SELECT 1"
    "${sql[@]}" -e "CREATE DATABASE IF NOT EXISTS slurm_acct_db;
        CREATE USER IF NOT EXISTS slurm@'127.0.0.1' IDENTIFIED BY 'slurm';
        CREATE USER IF NOT EXISTS slurm@localhost IDENTIFIED BY 'slurm';
        GRANT ALL ON slurm_acct_db.* TO slurm@'127.0.0.1'; GRANT ALL ON slurm_acct_db.* TO slurm@localhost;"
    configure
    export SLURM_CONF="$dir/slurm.conf"
    echo "export SLURM_CONF=$SLURM_CONF" > "$dir/environment"
    until_true 20 munged munge -n --socket="$dir/munge/socket"
    process slurmdbd slurmdbd -D
    until_true 60 slurmdbd sacctmgr -n list cluster
    sacctmgr -i add cluster runner > /dev/null 2>&1 || true  # it may be there already
    process slurmctld slurmctld -D -i
    process slurmd slurmd -D -N "$host"
    until_true 60 slurmd sh -c "sinfo -h -o %t | grep -qx idle"
    sinfo
}

configure() {
    local memory
    memory=$(awk '/MemTotal/ { print int($2 / 1024 * 0.9) }' /proc/meminfo)
    cat > "$dir/slurm.conf" <<EOF
ClusterName=runner
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$dir/munge/socket
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool
SlurmctldPidFile=$dir/slurmctld.own.pid
SlurmdPidFile=$dir/slurmd.own.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/affinity
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
MpiDefault=none
KillWait=10
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePass=$dir/munge/socket
AccountingStorageTRES=gres/gpu
JobAcctGatherType=jobacct_gather/linux
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
GresTypes=gpu
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc) RealMemory=$memory Gres=gpu:2 State=UNKNOWN
PartitionName=main Nodes=$host Default=YES MaxTime=INFINITE State=UP PriorityTier=1 GraceTime=20
PartitionName=urgent Nodes=$host MaxTime=INFINITE State=UP PriorityTier=2 PreemptMode=OFF
EOF
    printf 'NodeName=%s Name=gpu File=%s\n' "$host" /dev/null "$host" /dev/zero > "$dir/gres.conf"
    cat > "$dir/slurmdbd.conf" <<EOF
AuthType=auth/munge
AuthInfo=socket=$dir/munge/socket
DbdHost=localhost
SlurmUser=root
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=33060
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm_acct_db
PidFile=$dir/slurmdbd.own.pid
EOF
    chmod 600 "$dir/slurmdbd.conf"
}

down() {
    local name pid
    for name in slurmd slurmctld slurmdbd mariadbd munged; do
        [ -f "$dir/$name.pid" ] || continue
        pid=$(cat "$dir/$name.pid")
        kill "$pid" 2> /dev/null || true
        for _ in $(seq 100); do kill -0 "$pid" 2> /dev/null || break; sleep 0.1; done
        kill -9 "$pid" 2> /dev/null || true
        rm "$dir/$name.pid"
    done
}

case $command in
    up) up ;;
    down) down ;;
    *) usage ;;
esac
