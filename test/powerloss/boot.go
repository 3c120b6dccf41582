package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/dembrane/webhooks/test/internal/process"
)

// boot is what every machine boots from.
type boot struct {
	qemu, mke2fs string
	kernel       string
	initramfs    []byte // without the server's configuration
	ports        process.Ports
}

// prepare finds or gets everything.
func prepare(ctx context.Context, cache, folder string) (boot, error) {
	b, err := findTools()
	if err != nil {
		return boot{}, err
	}
	unpacked, err := unpackKernel(ctx, cache)
	if err != nil {
		return boot{}, err
	}
	kernels, err := filepath.Glob(filepath.Join(unpacked, "boot", "vmlinuz-*"))
	if err != nil || len(kernels) != 1 {
		return boot{}, fmt.Errorf("find the kernel below %s: %w", unpacked, errors.Join(err, fmt.Errorf("there are %d", len(kernels))))
	}
	b.kernel = kernels[0]
	programs := map[string]string{
		"init":        "github.com/dembrane/webhooks/test/powerloss/guest",
		"nats-server": "github.com/nats-io/nats-server/v2",
	}
	var image archive
	for name, source := range programs {
		path := filepath.Join(folder, name)
		cmd := exec.CommandContext(ctx, "go", "build", "-o", path, source) //nolint:gosec // in a temporary folder of our own
		cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
		if output, err := cmd.CombinedOutput(); err != nil {
			return boot{}, fmt.Errorf("build %s: %w\n%s", source, err, output)
		}
		if err := image.addFile(name, path); err != nil {
			return boot{}, err
		}
	}
	modules, err := modulesFor(unpacked, "virtio_pci", "virtio_blk", "virtio_net", "ext4")
	if err != nil {
		return boot{}, err
	}
	var order strings.Builder
	for _, path := range modules {
		name := filepath.Base(path)
		if err := image.addFile(name, path); err != nil {
			return boot{}, err
		}
		fmt.Fprintln(&order, name)
	}
	image.add("modules", []byte(order.String()))
	b.initramfs = image.bytes()
	return b, nil
}

// findTools says in one sentence each what is missing.
func findTools() (boot, error) {
	b := boot{ports: process.Ports{}}
	var missing []error
	find := func(program, pkg string) string {
		path, err := exec.LookPath(program)
		if err != nil {
			missing = append(missing, fmt.Errorf("%s is missing; on Debian and Ubuntu: apt-get install --no-install-recommends %s", program, pkg))
		}
		return path
	}
	b.qemu = find("qemu-system-x86_64", "qemu-system-x86")
	b.mke2fs = find("mke2fs", "e2fsprogs")
	return b, errors.Join(missing...)
}

// kernelPackage depends on the newest kernel that Debian builds for virtual machines.
const kernelPackage = "linux-image-cloud-amd64"

// unpackKernel returns the folder of Debian's kernel package, which it gets once.
func unpackKernel(ctx context.Context, cache string) (string, error) {
	cache, err := filepath.Abs(cache) // qemu runs in another folder
	if err != nil {
		return "", fmt.Errorf("find the folder for the kernel: %w", err)
	}
	unpacked := filepath.Join(cache, "kernel")
	if _, err := os.Stat(filepath.Join(unpacked, "boot")); err == nil {
		return unpacked, nil
	}
	if err := os.MkdirAll(cache, 0o750); err != nil {
		return "", fmt.Errorf("make a folder for the kernel: %w", err)
	}
	depends, err := output(ctx, "", "apt-cache", "depends", "--important", kernelPackage)
	if err != nil {
		return "", fmt.Errorf("find Debian's kernel (run apt-get update first; on another system unpack a kernel package into %s): %w", unpacked, err)
	}
	name, err := dependency(depends)
	if err != nil {
		return "", err
	}
	if _, err := output(ctx, cache, "apt-get", "download", name); err != nil {
		return "", fmt.Errorf("get Debian's kernel (run apt-get update first): %w", err)
	}
	packages, err := filepath.Glob(filepath.Join(cache, name+"_*.deb"))
	if err != nil || len(packages) == 0 {
		return "", fmt.Errorf("find the package of %s in %s: %w", name, cache, errors.Join(err, os.ErrNotExist))
	}
	half := unpacked + ".part"
	if _, err := output(ctx, "", "dpkg-deb", "-x", packages[len(packages)-1], half); err != nil {
		return "", fmt.Errorf("unpack Debian's kernel: %w", err)
	}
	if err := os.Rename(half, unpacked); err != nil {
		return "", fmt.Errorf("keep Debian's kernel: %w", err)
	}
	return unpacked, nil
}

// dependency is the package that `apt-cache depends` names.
func dependency(text []byte) (string, error) {
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		if name, ok := strings.CutPrefix(strings.TrimSpace(lines.Text()), "Depends: "); ok && strings.HasPrefix(name, "linux-image-") {
			return name, nil
		}
	}
	return "", fmt.Errorf("find Debian's kernel: %s depends on none", kernelPackage)
}

func output(ctx context.Context, folder, program string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, program, args...) //nolint:gosec // names of our own and of Debian's
	cmd.Dir = folder
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w\n%s", program, strings.Join(args, " "), err, stderr.Bytes())
	}
	return out, nil
}
