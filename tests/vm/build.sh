#!/bin/bash
# Builds a machine for qemu: Debian's kernel, the real bluetoothd, virtual controllers, and the programs under test.
# Usage: build.sh OUT PROGRAM…
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=$1; shift
mkdir -p "$out"
cd "$out"

# --- kernel: Debian's own, unpacked, not installed
package=$(apt-cache depends linux-image-amd64 | awk '/Depends:/ {print $2; exit}')
version=${package#linux-image-}
if [ ! -e "kernel-$version/.done" ]; then
    rm -rf "kernel-$version"; mkdir "kernel-$version"
    apt-get download -q "$package" >/dev/null
    dpkg-deb --fsys-tarfile "$package"_*.deb | tar -C "kernel-$version" -xf - --wildcards './boot/vmlinuz*' \
        './lib/modules/*/modules.*' './lib/modules/*/kernel/net/bluetooth/*' './lib/modules/*/kernel/net/rfkill/*' \
        './lib/modules/*/kernel/drivers/bluetooth/*' './lib/modules/*/kernel/crypto/*' './lib/modules/*/kernel/lib/*'
    rm -f "$package"_*.deb
    /sbin/depmod -b "kernel-$version" "$version"
    touch "kernel-$version/.done"
fi
cp "kernel-$version/boot/vmlinuz-$version" vmlinuz

# --- userland: busybox, the bus, bluetoothd and its tools, each with its libraries
rm -rf root
mkdir -p root/{bin,dev,proc,sys,run/dbus,tmp,modules,etc/dbus-1,etc/bluetooth,var/lib/bluetooth,var/lib/portcullis}
ln -s bin root/sbin; ln -s /run root/var/run
cp /bin/busybox root/bin/
add() {
    cp -L "$1" "root/bin/$(basename "$1")"
    strip "root/bin/$(basename "$1")" 2>/dev/null || true
    ldd "$1" | grep -oE '/[^ )]+' | while read -r library; do
        [ -e "root$library" ] || { mkdir -p "root$(dirname "$library")"; cp -L "$library" "root$library"; }
    done
}
for program in /usr/libexec/bluetooth/bluetoothd /usr/bin/{btvirt,dbus-daemon,dbus-send} "$@"; do add "$program"; done
n=10
for module in af_alg algif_hash algif_skcipher cmac ecb hci_vhci; do
    /sbin/modprobe -d "kernel-$version" -S "$version" --show-depends "$module"
done | awk '$1 == "insmod" && !seen[$2]++ {print $2}' | while read -r file; do
    cp "$file" "root/modules/$n-$(basename "$file")"; n=$((n + 1))
done
cat > root/etc/dbus-1/system.conf <<'X'
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path=/run/dbus/system_bus_socket</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>
X
echo 'root:x:0:0::/:/bin/sh' > root/etc/passwd
echo 'root:x:0:' > root/etc/group
printf '[General]\nName=rig\n[Policy]\nAutoEnable=true\n' > root/etc/bluetooth/main.conf
cp "$here/init" root/init; cp "$here/scenario.sh" root/; chmod 755 root/init
(cd root && find . | cpio -o -H newc --quiet | gzip -1) > initrd.gz
