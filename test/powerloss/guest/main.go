//go:build linux

// Guest is the first process of the virtual machine: it loads drivers, mounts the
// disk, brings the network up, and runs nats-server. When that ends, the machine
// switches itself off.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	err := start()
	_, _ = fmt.Fprintln(os.Stderr, "guest:", err)  // the console
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART) // ends qemu; if not, the kernel panics, which does so too
}

func start() error {
	for _, each := range []struct{ target, kind string }{{"/dev", "devtmpfs"}, {"/proc", "proc"}, {"/sys", "sysfs"}, {"/tmp", "tmpfs"}} {
		if err := mount(each.kind, each.target, each.kind); err != nil {
			return err
		}
	}
	if err := loadModules(); err != nil {
		return err
	}
	const disk = "/dev/vda"
	if err := await(disk); err != nil {
		return err
	}
	if err := mount(disk, "/data", "ext4"); err != nil {
		return err
	}
	for name, address := range map[string][4]byte{"lo": {127, 0, 0, 1}, "eth0": {10, 0, 2, 15}} {
		if err := bringUp(name, address); err != nil {
			return fmt.Errorf("bring %s up: %w", name, err)
		}
	}
	server := exec.CommandContext(context.Background(), "/nats-server", "-c", "/nats.conf")
	server.Env = []string{"HOME=/tmp"}
	server.Stdout, server.Stderr = os.Stdout, os.Stderr
	return fmt.Errorf("nats-server ended: %w", errors.Join(server.Run(), errEnded))
}

var errEnded = errors.New("nobody asked it to")

func mount(source, target, kind string) error {
	if err := os.MkdirAll(target, 0o750); err != nil {
		return fmt.Errorf("make %s: %w", target, err)
	}
	if err := unix.Mount(source, target, kind, 0, ""); err != nil && kind != "devtmpfs" {
		return fmt.Errorf("mount %s: %w", target, err)
	}
	return nil
}

func loadModules() error {
	list, err := os.ReadFile("/modules")
	if err != nil {
		return fmt.Errorf("read the list of modules: %w", err)
	}
	for name := range strings.FieldsSeq(string(list)) {
		image, err := os.ReadFile("/" + name) //nolint:gosec // what the host put there
		if err != nil {
			return fmt.Errorf("read the module %s: %w", name, err)
		}
		if err := unix.InitModule(image, ""); err != nil {
			return fmt.Errorf("load the module %s: %w", name, err)
		}
	}
	return nil
}

// await returns when the device is there: a driver finds its devices a moment
// after it was loaded.
func await(path string) error {
	const tries, pause = 100, 100 * time.Millisecond
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	for range tries {
		if _, err := os.Stat(path); err == nil {
			return nil
		}
		<-ticker.C
	}
	return fmt.Errorf("wait for %s: it does not appear", path)
}

func bringUp(name string, address [4]byte) error {
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return fmt.Errorf("open a socket: %w", err)
	}
	defer func() { _ = unix.Close(socket) }() // it carries nothing
	request, err := unix.NewIfreq(name)
	if err != nil {
		return fmt.Errorf("name it: %w", err)
	}
	for _, each := range []struct {
		code  uint
		value [4]byte
	}{{unix.SIOCSIFADDR, address}, {unix.SIOCSIFNETMASK, [4]byte{255, 255, 255, 0}}} {
		if err := request.SetInet4Addr(each.value[:]); err != nil {
			return fmt.Errorf("set its address: %w", err)
		}
		if err := unix.IoctlIfreq(socket, each.code, request); err != nil {
			return fmt.Errorf("set its address: %w", err)
		}
	}
	request.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(socket, unix.SIOCSIFFLAGS, request); err != nil {
		return fmt.Errorf("switch it on: %w", err)
	}
	return nil
}
