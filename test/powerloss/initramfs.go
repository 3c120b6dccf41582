package main

import (
	"bytes"
	"debug/elf"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// archive is an initramfs in the form that the kernel reads: cpio with the magic
// 070701. Several after another are one.
type archive struct {
	content bytes.Buffer
	inode   int
}

const regularExecutable = 0o100755

// add puts a file into the archive.
func (a *archive) add(name string, data []byte) {
	a.inode++
	a.entry(name, regularExecutable, data)
}

func (a *archive) addFile(name, path string) error {
	data, err := os.ReadFile(path) //nolint:gosec // built or unpacked by us
	if err != nil {
		return fmt.Errorf("put %s into the initramfs: %w", name, err)
	}
	a.add(name, data)
	return nil
}

// bytes ends the archive.
func (a *archive) bytes() []byte {
	a.inode = 0
	a.entry("TRAILER!!!", 0, nil)
	return a.content.Bytes()
}

func (a *archive) entry(name string, mode int, data []byte) {
	fields := []int{a.inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0}
	a.content.WriteString("070701")
	for _, field := range fields {
		fmt.Fprintf(&a.content, "%08x", field)
	}
	a.content.WriteString(name)
	a.content.WriteByte(0)
	a.pad()
	a.content.Write(data)
	a.pad()
}

func (a *archive) pad() {
	for a.content.Len()%4 != 0 {
		a.content.WriteByte(0)
	}
}

// modulesFor returns the files of these kernel modules and of what they need, in
// the order in which they are loaded. What is not there as a file is built in.
func modulesFor(unpacked string, wanted ...string) ([]string, error) {
	files := map[string]string{}
	err := filepath.WalkDir(filepath.Join(unpacked, "lib", "modules"), func(path string, _ fs.DirEntry, err error) error {
		if name, ok := strings.CutSuffix(filepath.Base(path), ".ko"); ok {
			files[strings.ReplaceAll(name, "-", "_")] = path
		} else if strings.Contains(filepath.Base(path), ".ko.") {
			return fmt.Errorf("%s is compressed, which this program does not read", path)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list the kernel's modules: %w", err)
	}
	var order []string
	done := map[string]bool{}
	var load func(name string) error
	load = func(name string) error {
		path, found := files[name]
		if !found || done[name] {
			return nil
		}
		done[name] = true
		needs, err := needed(path)
		if err != nil {
			return err
		}
		for _, need := range needs {
			if err := load(need); err != nil {
				return err
			}
		}
		order = append(order, path)
		return nil
	}
	for _, name := range wanted {
		if err := load(name); err != nil {
			return nil, err
		}
	}
	return order, nil
}

// needed returns the modules that a module says it depends on.
func needed(path string) ([]string, error) {
	file, err := elf.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the module %s: %w", path, err)
	}
	defer func() { _ = file.Close() }() // it is only read
	section := file.Section(".modinfo")
	if section == nil {
		return nil, fmt.Errorf("read the module %s: it has no .modinfo", path)
	}
	data, err := section.Data()
	if err != nil {
		return nil, fmt.Errorf("read the module %s: %w", path, err)
	}
	for field := range strings.SplitSeq(string(data), "\x00") {
		if list, ok := strings.CutPrefix(field, "depends="); ok && list != "" {
			return strings.Split(strings.ReplaceAll(list, "-", "_"), ","), nil
		}
	}
	return nil, nil
}
