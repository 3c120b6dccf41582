package egress

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"strconv"
	"testing"
)

// receiver answers 200 to everything, as cheaply as net/http can.
func receiver(b *testing.B) string {
	b.Helper()
	server := &http.Server{ReadHeaderTimeout: long, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, "ok")
	})}
	listener := listen(b, "tcp4", "127.0.0.1:0")
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener)
	}()
	b.Cleanup(func() {
		_ = server.Close()
		<-done
	})
	return "http://" + listener.Addr().String() + "/hook"
}

func BenchmarkPost(b *testing.B) {
	for _, size := range []int{2 << 10, 64 << 10} {
		body := bytes.Repeat([]byte("x"), size)
		header := http.Header{"Content-Type": {"application/json"}, "User-Agent": {"Dembrane-Webhook/1.0"}}
		b.Run("egress/"+strconv.Itoa(size), func(b *testing.B) {
			client := newClient(b, Options{})
			target := parse(b, receiver(b))
			b.SetParallelism(64)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if got := client.Post(b.Context(), Call{URL: target, Header: header, Body: body}); got.StatusCode != http.StatusOK {
						b.Errorf("%+v", got)
						return
					}
				}
			})
		})
		// What it is measured against: a client without a guard, bounds or reasons.
		b.Run("net_http/"+strconv.Itoa(size), func(b *testing.B) {
			transport := &http.Transport{
				MaxIdleConns: 2048, MaxIdleConnsPerHost: 512, DisableCompression: true, DialContext: (&net.Dialer{}).DialContext,
			}
			b.Cleanup(transport.CloseIdleConnections)
			client := &http.Client{Transport: transport, Timeout: long}
			target := receiver(b)
			b.SetParallelism(64)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := barePost(b, client, target, header, body); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}

func barePost(b *testing.B, client *http.Client, target string, header http.Header, body []byte) error {
	b.Helper()
	request, err := http.NewRequestWithContext(b.Context(), http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header = header
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	if _, err := io.ReadAll(response.Body); err != nil {
		return err
	}
	return response.Body.Close()
}
