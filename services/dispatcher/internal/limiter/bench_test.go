package limiter

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"
)

// names are so many endpoints.
func names(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprint("webhook", i)
	}
	return all
}

// BenchmarkTurnedAway: a flood is passed over at this speed.
func BenchmarkTurnedAway(b *testing.B) {
	for _, endpoints := range []int{1, 1000} {
		b.Run(fmt.Sprint(endpoints), func(b *testing.B) {
			l := New(testLimits(), func(Hint) {})
			defer l.Close()
			all := names(endpoints)
			for _, name := range all {
				l.Pause(name, time.Now().Add(time.Hour), Paused)
			}
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for i := 0; pb.Next(); i++ {
					if l.Wait(b.Context(), Request{Endpoint: all[i%endpoints], Bytes: 1200}).Go() {
						b.Error("it is paused")
					}
				}
			})
		})
	}
}

// BenchmarkGranted: deliveries that go at once, or from the line: 100 at a time on
// each processor. Answers cost nothing, so this is the limiter's own share.
func BenchmarkGranted(b *testing.B) {
	for _, endpoints := range []int{1, 1000} {
		b.Run(fmt.Sprint(endpoints), func(b *testing.B) {
			l := New(testLimits(), func(Hint) {})
			defer l.Close()
			all := names(endpoints)
			var next, away atomic.Int64
			b.SetParallelism(100)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					turn := l.Wait(b.Context(), Request{Endpoint: all[int(next.Add(1))%endpoints], Bytes: 1200})
					if !turn.Go() {
						away.Add(1)
						continue
					}
					l.Done(turn, Result{Took: time.Microsecond})
				}
			})
			b.ReportMetric(float64(away.Load())/float64(b.N), "away/op")
		})
	}
}
