# What is promised, one check a line. hci0 is the hub's, hci1 the sensor's.
PASSED=0; FAILED=0
up() { cut -d' ' -f1 /proc/uptime; }
# check NAME SECONDS COMMAND…: it must succeed within that time.
check() {
    name=$1; end=$(($(cut -d. -f1 /proc/uptime) + $2)); shift 2
    until "$@"; do
        if [ "$(cut -d. -f1 /proc/uptime)" -ge $end ]; then 
            echo "FAILED $name ($(up) s)"; FAILED=$((FAILED + 1)); finish
        fi
        sleep 1
    done
    echo "ok $name ($(up) s)"; PASSED=$((PASSED + 1))
}
property() {
    dbus-send --system --print-reply=literal --dest=org.bluez "/org/bluez/$1" org.freedesktop.DBus.Properties.Get string:org.bluez.Adapter1 "string:$2" 2>/dev/null
}
power() {
    dbus-send --system --print-reply --dest=org.bluez /org/bluez/hci0 org.freedesktop.DBus.Properties.Set string:org.bluez.Adapter1 string:Powered "variant:boolean:$1" >/dev/null
}
is() { property "$1" "$2" | grep -q "$3"; }
let_go() {
    dbus-send --system --print-reply=literal --dest=org.bluez "/org/bluez/hci0/dev_$(echo "$SENSOR" | tr : _)" \
        org.freedesktop.DBus.Properties.Get string:org.bluez.Device1 string:Connected | grep -q false
}
# Events of a type in the hub's log by now.
told() { portcullis events list --json --limit 1000 2>/run/list.err | grep -c "\"event_type\":\"$1\""; }
at_least() { [ "$(told "$1")" -ge "$2" ]; }
bolt() { echo $(($(told lock.locked) + $(told lock.unlocked))); }
# More turns of the bolt than a number taken before.
turns_after() { [ "$(bolt)" -gt "$1" ]; }
bluetooth() { bluetoothd -n >>/run/bluetoothd.log 2>&1 & BLUETOOTHD=$!; }

# One failure makes the rest worthless: what was logged, the total, and off.
finish() {
    if [ $FAILED != 0 ]; then
        for log in portcullis sensor bluetoothd btvirt; do echo "--- $log"; tail -20 /run/$log.log; done
        echo "--- events"; portcullis events list --json | tail -20; cat /run/list.err
    fi
    echo "$PASSED passed, $FAILED failed"
    poweroff -f
}

mkdir -p /etc/portcullis
export RUST_LOG=info
# Without bluetoothd at first.
sensor_is() { SENSOR=$(property hci1 Address | tr -d ' \n' | sed 's/^variant//'); [ ${#SENSOR} = 17 ]; }
bluetooth
check "bluetoothd has both controllers" 60 sensor_is
kill -9 $BLUETOOTHD
printf 'state_dir = "/var/lib/portcullis"\n[ble]\nadapters = ["hci0"]\n[[devices]]\naddress = "%s"\nname = "Door"\ngatt_battery = true\n[mqtt]\nurl = "mqtt://127.0.0.1:1"\n' "$SENSOR" > /etc/portcullis/config.toml
portcullis run >/run/portcullis.log 2>&1 & HUB=$!
check "without bluetoothd it waits, and says so" 30 grep -q "bluetoothd is not running" /run/portcullis.log
bluetooth
check "bluetoothd comes and is scanned with" 60 is hci0 Discovering true
vm-sensor hci1 >/run/sensor.log 2>&1 & SENSOR_PID=$!
check "an advert becomes an event" 60 at_least device.connected 1
check "the bolt turns and it is told" 60 turns_after 0
check "the battery is read over a connection" 90 at_least device.low_battery 1
# bluetoothd's own battery plugin reads it too; ours is the one that tells.
check "the device is let go" 10 let_go
before=$(bolt)
check "after the connection adverts go on" 60 turns_after "$before"

power false
check "power off is noticed" 30 grep -q "powered off" /run/portcullis.log
sleep 3
check "an administrator's off is respected" 1 is hci0 Powered false
before=$(bolt)
power true
check "power on: the scan is back" 60 is hci0 Discovering true
check "power on: events are back" 60 turns_after "$before"

kill -9 $BLUETOOTHD; kill $SENSOR_PID
before=$(bolt)
sleep 2
bluetooth
check "bluetoothd restarted: the scan is back" 60 is hci0 Discovering true
vm-sensor hci1 >>/run/sensor.log 2>&1 &
check "bluetoothd restarted: events are back" 60 turns_after "$before"
check "the daemon is the one that was started" 1 kill -0 $HUB
check "none of it was taken for a lost device" 1 [ "$(told device.disconnected)" = 0 ]

finish
