package httpapi_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// program is a snippet, what calls it with a body (from standard input), a signature
// and a secret, and prints true or false, and the commands that run both.
type program struct {
	file, main, code string
	commands         [][]string
}

func programs() map[string]program {
	return map[string]program{
		"python": {file: "verify.py", main: "main.py", commands: [][]string{{"python3", "main.py"}}, code: `import sys
from verify import is_valid
print(str(is_valid(sys.stdin.buffer.read(), sys.argv[1], sys.argv[2])).lower())`},
		"node": {file: "verify.mjs", main: "main.mjs", commands: [][]string{{"node", "main.mjs"}}, code: `import { isValid } from "./verify.mjs";
import { readFileSync } from "node:fs";
console.log(isValid(readFileSync(0), process.argv[2], process.argv[3]));`},
		"go": {file: "receiver/verify.go", main: "main.go", commands: [][]string{{"go", "build", "-o", "main", "."}, {"./main"}}, code: `package main

import (
	"fmt"
	"io"
	"os"

	"example.org/receiver"
)

func main() {
	body, err := io.ReadAll(os.Stdin)
	fmt.Println(receiver.IsValid(body, os.Args[1], os.Args[2]), err)
}`},
		"php": {file: "verify.php", main: "main.php", commands: [][]string{{"php", "main.php"}}, code: `<?php
require 'verify.php';
echo json_encode(is_valid(file_get_contents('php://stdin'), $argv[1], $argv[2]));`},
		"ruby": {file: "verify.rb", main: "main.rb", commands: [][]string{{"ruby", "main.rb"}}, code: `require_relative "verify"
puts valid?($stdin.binmode.read, ARGV[0], ARGV[1])`},
		"java": {file: "Verify.java", main: "Main.java", commands: [][]string{{"javac", "Main.java", "Verify.java"}, {"java", "-XX:TieredStopAtLevel=1", "Main"}}, code: `class Main {
    public static void main(String[] arguments) throws Exception {
        System.out.println(Verify.isValid(System.in.readAllBytes(), arguments[0], arguments[1]));
    }
}`},
		"csharp": {file: "Verify.cs", main: "Main.cs", commands: [][]string{{"mcs", "-langversion:7.2", "-out:main.exe", "Main.cs", "Verify.cs"}, {"mono", "main.exe"}}, code: `using System;
using System.IO;

static class Program
{
    static void Main(string[] arguments)
    {
        var body = new MemoryStream();
        Console.OpenStandardInput().CopyTo(body);
        Console.WriteLine(Verify.IsValid(body.ToArray(), arguments[0], arguments[1]) ? "true" : "false");
    }
}`},
	}
}

// What is there to be copied runs, and tells a body from another. A language that is
// not installed is not tested, which is said.
func TestSnippetsTellWhatIsOurs(t *testing.T) {
	a := newAPI(t)
	made := a.create("p1", minimal)
	var got copyable
	require.NoError(t, json.Unmarshal([]byte(a.send("GET", base+"/"+made.id()+"/copyable", "").raw), &got))
	var languages []string
	for _, v := range got.Verification {
		languages = append(languages, v.Language)
		t.Run(v.Language, func(t *testing.T) {
			p, known := programs()[v.Language]
			require.True(t, known)
			folder := p.write(t, v.Code)
			s := got.Samples[0]
			assert.Equal(t, "true", p.run(t, folder, s.Body, s.Signature, "example-secret"))
			assert.Equal(t, "false", p.run(t, folder, s.Body+"\n", s.Signature, "example-secret"), "another body")
			assert.Equal(t, "false", p.run(t, folder, s.Body, s.Signature[1:], "example-secret"), "another signature")
			assert.Equal(t, "false", p.run(t, folder, s.Body, s.Signature, "another-secret"))
			forged := hmac.New(sha256.New, nil)
			forged.Write([]byte(s.Body))
			assert.Equal(t, "false", p.run(t, folder, s.Body, hex.EncodeToString(forged.Sum(nil)), ""), "nobody has set a secret")
		})
	}
	assert.Equal(t, []string{"python", "node", "go", "php", "csharp", "ruby", "java"}, languages)
}

func (p program) write(t *testing.T, snippet string) (folder string) {
	t.Helper()
	for _, command := range p.commands {
		if _, err := exec.LookPath(command[0]); err != nil && !strings.HasPrefix(command[0], "./") {
			t.Skipf("%s is not installed: the snippet is not tested", command[0])
		}
	}
	folder = t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(folder, p.file)), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(folder, "go.mod"), []byte("module example.org\n\ngo 1.24\n"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(folder, p.file), []byte(snippet), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(folder, p.main), []byte(p.code), 0o600))
	for _, command := range p.commands[:len(p.commands)-1] {
		p.start(t, folder, "", command)
	}
	return folder
}

func (p program) run(t *testing.T, folder, body, signature, secret string) string {
	t.Helper()
	command := append(append([]string{}, p.commands[len(p.commands)-1]...), signature, secret)
	answer, _, _ := strings.Cut(strings.TrimSpace(p.start(t, folder, body, command)), " ")
	return answer
}

func (p program) start(t *testing.T, folder, body string, command []string) string {
	t.Helper()
	run := exec.CommandContext(t.Context(), command[0], command[1:]...)
	run.Dir, run.Stdin, run.Env = folder, strings.NewReader(body), append(os.Environ(), "GOWORK=off")
	output, err := run.CombinedOutput()
	require.NoError(t, err, string(output))
	return string(output)
}
