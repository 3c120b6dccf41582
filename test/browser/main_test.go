// Package browser_test uses the pages of the portal as a host does: in Chromium,
// against a real standalone and receivers. One browser and one standalone serve all
// tests; each test has a profile and a project of its own.
//
// Without Chromium on a desk the tests say that they were skipped. In CI (the variable
// CI is set) that is a failure.
package browser_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/dembrane/webhooks/test/internal/inside"
	"github.com/dembrane/webhooks/test/internal/receiver"
	"github.com/dembrane/webhooks/test/internal/run"
)

// patience is how long a test waits for anything on a page.
const patience = time.Minute

// internalName is a host of a network of one's own, where pages are often served
// without TLS.
const internalName = "pages.internal"

// screenshots is where `make screenshots` wants pictures of every page; empty for none.
var screenshots = flag.String("screenshots", "", "folder for pictures of every page")

// axePath is where make puts axe-core.
var axePath = filepath.Join("..", "..", "bin", "axe", "axe.min.js")

// shared is what all tests use.
var shared struct {
	missing   string          // why there is no browser
	browser   context.Context //nolint:containedctx // chromedp keeps the browser in one
	system    inside.System
	at        inside.Address
	receiver  *receiver.Receiver
	dashboard *dashboard
	// axe is axe-core, layout what looks at a page's layout, and keys are those of all
	// texts of the pages.
	axe, layout string
	english     map[string]string
}

func TestMain(m *testing.M) {
	flag.Parse()
	beSideBySide()
	code := 1
	err := run.Program(context.Background(), os.Stderr, func(t run.T) {
		prepare(t)
		code = m.Run()
	})
	if err == nil {
		err = goleak.Find()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// beSideBySide lets more tests run at once than there are cores: pages are waited for
// most of the time. Whoever gives -parallel knows better.
func beSideBySide() {
	const atOnce = "6"
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if given {
		return
	}
	if err := flag.Set("test.parallel", atOnce); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

// prepare starts everything, if there is a browser.
func prepare(t run.T) {
	program := chromium()
	if program == "" {
		shared.missing = "there is no Chromium here: apt-get install chromium"
		return
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program), chromedp.DisableGPU,
		chromedp.Flag("lang", "en-GB"), chromedp.Flag("force-device-scale-factor", "1"), chromedp.Flag("hide-scrollbars", true),
		chromedp.Flag("host-resolver-rules", "MAP "+internalName+" 127.0.0.1"))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox)
	}
	allocator, endAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(endAllocator)
	browser, end := chromedp.NewContext(allocator)
	t.Cleanup(end)
	run.Must(t, chromedp.Do(browser), "start the browser")
	shared.browser = browser //nolint:fatcontext // it is the browser

	folder, err := os.MkdirTemp("", "browser")
	run.Must(t, err, "make a folder")
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	startSystems(t, folder)
	readScripts(t)
}

// startSystems starts a standalone, and the api as the product runs it.
func startSystems(t run.T, folder string) {
	var hosts inside.Hosts
	shared.at, _ = hosts.Host(t, map[string]string{
		"DATA_DIR": filepath.Join(folder, "standalone"), "API_ADDR": "127.0.0.1:0", "NATS_ADDR": "127.0.0.1:0", "OPS_ADDR": "127.0.0.1:0",
		"RETRY_FIRST": "200ms", "RETRY_MULTIPLIER": "1", "SHUTDOWN_GRACE": "2s", "LOG_LEVEL": "warn",
		// All tests together are one caller.
		"API_RATE_PER_SECOND": "0",
	}, zap.NewNop())
	var err error
	shared.system, err = inside.Connect(t.Context(), shared.at)
	run.Must(t, err, "connect")
	t.Cleanup(shared.system.Close)
	shared.receiver = receiver.Start(t, nil)
	shared.dashboard = startDashboard(t, filepath.Join(folder, "dashboard"))
}

// readScripts reads what is run in the pages, and what they can say.
func readScripts(t run.T) {
	if source, err := os.ReadFile(axePath); err == nil {
		shared.axe = string(source)
	}
	source, err := os.ReadFile(filepath.Join("testdata", "layout.js"))
	run.Must(t, err, "read the script that looks at layouts")
	shared.layout = string(source)
	texts, err := os.ReadFile(filepath.Join("..", "..", "services", "api", "internal", "portal", "texts", "en.txt"))
	run.Must(t, err, "read the texts of the pages")
	shared.english = map[string]string{}
	for line := range strings.Lines(string(texts)) {
		if key, text, isText := strings.Cut(strings.TrimSpace(line), " = "); isText && !strings.HasPrefix(line, "#") {
			shared.english[key] = text
		}
	}
}

// chromium is the browser's program; empty when there is none.
func chromium() string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// need skips a test on a desk where something is missing, and fails it in CI.
func need(t *testing.T, missing string) {
	t.Helper()
	switch {
	case missing == "":
	case os.Getenv("CI") != "":
		t.Fatal(missing)
	default:
		t.Skip(missing)
	}
}
