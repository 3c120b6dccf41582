package observe

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
)

// CheckReady asks the process that listens for operators on addr, on this
// machine, whether it is ready. It is what a container's health check runs, in an
// image that has no other program. The error holds what is wrong.
func CheckReady(addr string) error {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("read OPS_ADDR %q: %w", addr, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*checkTimeout)
	defer cancel()
	url := "http://" + net.JoinHostPort("127.0.0.1", port) + "/readyz"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	response, err := (&http.Client{}).Do(request)
	if err != nil {
		return fmt.Errorf("ask %s: %w", url, err)
	}
	defer response.Body.Close() //nolint:errcheck // read to the end or not needed
	if response.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(response.Body, 4<<10)) // what can be read says enough
		return fmt.Errorf("not ready: %s", body)
	}
	return nil
}
