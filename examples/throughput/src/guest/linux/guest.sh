# What the Linux guest runs. It takes lines on its console and answers each with one that begins
# with '@': orders are `digests HEADER DATA`, `fio LUN RW BLOCK DEPTH MILLISECONDS SPAN` and
# `sum LUN OFFSET LENGTH`. Before this come TARGET, PORTAL, ADDRESS, INITIATOR and NIC.

stty -echo -onlcr
dmesg -n 1
failed() { echo "@failed $*"; }

# fio and iscsid ask who root is.
mkdir -p /etc/iscsi /run/lock/iscsi /var/lock /var/run /root
echo 'root:x:0:0:root:/root:/bin/sh' > /etc/passwd
echo "127.0.0.1 localhost" > /etc/hosts
echo "InitiatorName=$INITIATOR" > /etc/iscsi/initiatorname.iscsi
: > /etc/iscsi/iscsid.conf
mount -t tmpfs tmpfs /run
mkdir -p /run/lock/iscsi

ip link set lo up
ip addr add "$ADDRESS" dev eth0
ip link set eth0 up || failed "no eth0 with the module $NIC"
waited=0
while [ "$(cat /sys/class/net/eth0/carrier 2>/dev/null)" != 1 ] && [ $waited -lt 300 ]; do
    usleep 20000; waited=$((waited + 1))
done

iscsid -f > /run/iscsid.log 2>&1 &
node() { iscsiadm -m node -T "$TARGET" -p "$PORTAL" "$@"; }
set_to() { node -o update -n "$1" -v "$2"; }

waited=0
until node -o new > /run/iscsiadm.log 2>&1 || [ $waited -ge 100 ]; do
    usleep 50000; waited=$((waited + 1))
done
{
    set_to node.session.queue_depth 128
    set_to node.session.cmds_max 256
    set_to node.session.iscsi.InitialR2T No
    set_to node.session.iscsi.ImmediateData Yes
    set_to node.session.iscsi.FirstBurstLength 262144
    set_to node.session.iscsi.MaxBurstLength 262144
    set_to node.conn\[0\].iscsi.MaxRecvDataSegmentLength 262144
    set_to node.conn\[0\].iscsi.MaxXmitDataSegmentLength 0
    # A guest that is held answers no pings, and is not to send them late.
    set_to node.conn\[0\].timeo.noop_out_interval 0
    set_to node.conn\[0\].timeo.noop_out_timeout 0
} >> /run/iscsiadm.log 2>&1

# The name of a LUN's disk, once it is there.
disk() { ls /sys/class/scsi_device/*:0:0:"$1"/device/block 2>/dev/null; }

log_in() {
    set_to node.conn\[0\].iscsi.HeaderDigest "$1"
    set_to node.conn\[0\].iscsi.DataDigest "$2"
    node --login || return 1
    waited=0
    while [ -z "$(disk 0)" ] || [ -z "$(disk 1)" ] || [ ! -b "/dev/$(disk 1)" ]; do
        [ $waited -lt 500 ] || return 1
        usleep 20000; waited=$((waited + 1))
    done
    for lun in 0 1; do
        queue=/sys/block/$(disk $lun)/queue
        device=/sys/block/$(disk $lun)/device
        echo none > "$queue/scheduler"
        echo 128 > "$device/queue_depth"
        echo 256 > "$queue/nr_requests"
        echo 1024 > "$queue/max_sectors_kb"
        echo 2 > "$queue/nomerges"
        echo 0 > "$queue/add_random"
        echo 0 > "$queue/iostats"
    done
    return 0
}

digests() {
    if [ -n "$(disk 0)" ]; then
        node --logout > /run/logout.log 2>&1 || { failed "logout: $(tail -n 1 /run/logout.log)"; return; }
    fi
    if log_in "$1" "$2" > /run/login.log 2>&1; then
        # What the session has, not what was asked for.
        connection=/sys/class/iscsi_connection/connection*
        echo "@digests $(cat $connection/header_digest) $(cat $connection/data_digest)"
    else
        failed "login: $(tail -n 3 /run/login.log /run/iscsid.log | tr '\n' ' ')"
    fi
}

run_fio() {
    # No allocation maps, no clock calls for latencies, no child process: all of it would cost Linux.
    # gtod_reduce looks at the clock too seldom for long requests.
    cheap='--disable_lat=1 --disable_clat=1 --disable_slat=1 --disable_bw_measurement=1'
    [ "$3" -ge 65536 ] || cheap='--gtod_reduce=1'
    fio --name=load --filename="/dev/$(disk "$1")" --rw="$2" --bs="$3" --iodepth="$4" \
        --ioengine=libaio --direct=1 --time_based --runtime="$5ms" --size="$6" --thread \
        --norandommap $cheap --eta=never --disk_util=0 --invalidate=0 --random_generator=lfsr \
        --output-format=json --output=/run/fio.json > /run/fio.log 2>&1
    status=$?
    if [ $status = 0 ]; then
        echo "@fio $(tr -d '\n\t' < /run/fio.json)"
    else
        failed "fio ended with $status: $(tail -n 3 /run/fio.log | tr '\n' ' ')"
    fi
}

echo '@ready'
while read -r order a b c d e f; do
    case $order in
        digests) digests "$a" "$b" ;;
        fio) run_fio "$a" "$b" "$c" "$d" "$e" "$f" ;;
        sum) echo "@sum $(dd if="/dev/$(disk "$a")" iflag=direct,skip_bytes,count_bytes bs=64k skip="$b" count="$c" 2>/dev/null | sha256sum)" ;;
        *) failed "no such order: $order" ;;
    esac
done
