package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/dembrane/webhooks/test/internal/process"
)

const (
	diskSize = "1G"
	memory   = "512" // MiB
	// kernelOptions: a panic ends qemu, and a busy computer, on which an emulated
	// timer comes late, is no broken one.
	kernelOptions = "console=ttyS0 quiet panic=-1 no_timer_check"
)

// machine is a virtual computer with one disk, on which nats-server runs. Its
// methods are called from one goroutine.
type machine struct {
	folder string
	number int
	// client and routes are ports of this computer that lead into the machine.
	client, routes int

	qemu  *process.Process
	boots int
}

// newMachine makes the machine's disk.
func newMachine(ctx context.Context, b boot, folder string, number int) (*machine, error) {
	m := &machine{folder: folder, number: number}
	ports, err := b.ports.Take(ctx, 2)
	if err != nil {
		return nil, err
	}
	m.client, m.routes = ports[0], ports[1]
	if _, err := output(ctx, "", b.mke2fs, "-q", "-t", "ext4", m.disk(), diskSize); err != nil {
		return nil, fmt.Errorf("make a disk: %w", err)
	}
	return m, nil
}

func (m *machine) file(name string) string {
	return filepath.Join(m.folder, fmt.Sprintf("n%d-%s", m.number, name))
}

func (m *machine) disk() string { return m.file("disk") }

// console is what kernel and server wrote since the last boot.
func (m *machine) console() string { return m.file(fmt.Sprintf("console-%d", m.boots)) }

// configure writes what the machine boots from.
func (m *machine) configure(b boot, config string) error {
	var own archive
	own.add("nats.conf", []byte(config))
	if err := os.WriteFile(m.file("initramfs"), slices.Concat(b.initramfs, own.bytes()), 0o600); err != nil {
		return fmt.Errorf("write the initramfs: %w", err)
	}
	return nil
}

// start switches the machine on. It does not wait until it has booted.
func (m *machine) start(ctx context.Context, b boot) error {
	m.boots++
	m.qemu = &process.Process{
		Name: fmt.Sprintf("n%d-qemu-%d", m.number, m.boots), Program: b.qemu, Folder: m.folder,
		Args: []string{
			"-machine", "pc,accel=tcg", "-cpu", "max", "-smp", "1", "-m", memory,
			"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
			"-kernel", b.kernel, "-initrd", m.file("initramfs"), "-append", kernelOptions,
			"-serial", "file:" + m.console(),
			// The disk has what the machine wrote or flushed to it. What is only in the
			// machine's memory is gone when qemu is killed.
			"-drive", "file=" + m.disk() + ",format=raw,if=none,id=disk,cache=writeback",
			"-device", "virtio-blk-pci,drive=disk",
			"-netdev", fmt.Sprintf("user,id=net,hostfwd=tcp:127.0.0.1:%d-:%d,hostfwd=tcp:127.0.0.1:%d-:%d", m.client, clientPort, m.routes, routePort),
			"-device", "virtio-net-pci,netdev=net,romfile=",
		},
	}
	if err := m.qemu.Start(ctx); err != nil {
		return fmt.Errorf("switch machine %d on: %w", m.number, err)
	}
	return nil
}

// cut takes the power away and returns when it is gone.
func (m *machine) cut() error {
	if err := m.qemu.Kill(); err != nil {
		return fmt.Errorf("cut machine %d off: %w", m.number, err)
	}
	return nil
}

// off switches the machine off for good: there is nothing left to ask it.
func (m *machine) off() {
	if m.qemu != nil && m.qemu.Check() == nil {
		_ = m.qemu.Kill() // it may have ended
	}
}

// check fails when the machine is off although nobody cut it off.
func (m *machine) check() error {
	if err := m.qemu.Check(); err != nil {
		return fmt.Errorf("machine %d: %w\n%s", m.number, err, tail(m.console()))
	}
	return nil
}

// tail is the end of a file.
func tail(path string) string {
	const most = 4 << 10
	data, err := os.ReadFile(path) //nolint:gosec // in our own folder
	if err != nil {
		return ""
	}
	return string(data[max(0, len(data)-most):])
}
