package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/bson"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/test/internal/receiver"
	"github.com/dembrane/webhooks/test/internal/run"
)

const (
	// oddEvents is how many events each of the odd receivers gets at once.
	oddEvents = 300
	// oddTimes is how many receivers of each kind get them in a round, one after the
	// other. Of how long they take the median counts.
	oddTimes = 3
	// oddTimeout is after how long those that are missing are given up.
	oddTimeout = time.Minute
)

// wave is many events at once to a receiver of which nothing is known yet.
type wave struct {
	receiver.Odd

	target target
	to     *receiver.OddReceiver
	took   time.Duration
}

// faults is what went wrong, over all waves.
type faults struct{ failed, extra int }

// oddReceivers measures how long events at once to each of the odd receivers take,
// over those to a well-behaved one that speaks TLS, or does not, as it does.
func (b *bench) oddReceivers(t run.T) {
	kinds := receiver.Odds()
	took := map[string][]float64{}
	var wrong faults
	run.Together(t, func(t run.T) {
		folder := filepath.Join(b.folder, fmt.Sprintf("round-%d-%s", b.round+1, oddScenario))
		run.Must(t, os.MkdirAll(folder, 0o700), "make a folder")
		certificate, file := selfSigned(t, folder)
		s := b.startSystem(t, folder, []string{"SSL_CERT_FILE=" + file})
		var waves []*wave
		for i, odd := range slices.Concat(kinds[:2], slices.Repeat(kinds, oddTimes)) {
			waves = append(waves, newWave(t, s, fmt.Sprintf("odd-%02d", i), odd, certificate))
		}
		for i, w := range waves {
			b.measureWave(t, s, w, phaseName(i))
			if i >= 2 { // those before are for a system that is warm
				took[w.Name] = append(took[w.Name], w.took.Seconds())
			}
		}
		s.recorded(t)
		wrong = countFaults(t, s, waves)
	})
	section := fmt.Sprintf("%d events at once to receivers that are odd", oddEvents)
	usual, worst, slowest := map[bool]float64{}, 0.0, ""
	for i, odd := range kinds {
		seconds := percentile(took[odd.Name], 0.5)
		if i < 2 {
			usual[odd.Secure] = seconds
			b.figures.add(section, "odd."+odd.Name, odd.Name+", ms", 1000*seconds)
			continue
		}
		ratio := seconds / usual[odd.Secure]
		if ratio > worst {
			worst, slowest = ratio, odd.Name
		}
		b.figures.add(section, "odd."+odd.Name, "one that "+odd.Name+", over well-behaved", ratio)
	}
	b.figures.add(section, "odd.ratio", "the slowest kind, over well-behaved", worst)
	b.figures.add(section, "odd.failed", "failed attempts", float64(wrong.failed))
	b.figures.add(section, "odd.extra", "POSTs that the log does not account for", float64(wrong.extra))
	t.Logf("odd receivers: one that %s takes the longest, %.2f times as long as a well-behaved one; %d failed attempts, %d POSTs too many",
		slowest, worst, wrong.failed, wrong.extra)
}

// newWave starts a receiver, and registers it for a project of its own.
func newWave(t run.T, s *system, project string, odd receiver.Odd, certificate *tls.Config) *wave {
	w := &wave{Odd: odd, to: odd.Start(t, certificate)}
	var err error
	w.target, err = newTarget(specification{
		project: project, url: w.to.URL, event: eventType, contentType: event.JSON, bodyBytes: bodyBytes,
	})
	run.Must(t, err, "make an endpoint")
	s.register(t, []target{w.target})
	return w
}

func (b *bench) measureWave(t run.T, s *system, w *wave, phase string) {
	started := time.Now()
	s.flood(t, phase, oddEvents, []target{w.target})
	ctx, cancel := context.WithTimeout(t.Context(), oddTimeout)
	defer cancel()
	_ = run.Poll(ctx, func(context.Context) error { // what is missing is counted below
		if arrived, _, _ := w.to.Arrived(); arrived < oddEvents {
			return errLost
		}
		return nil
	})
	arrived, _, last := w.to.Arrived()
	w.took = last.Sub(started)
	if lost := oddEvents - arrived; lost > 0 {
		b.lost += lost
		w.took = oddTimeout
	}
}

// countFaults counts the attempts that delivered nothing, and the POSTs of which
// neither an attempt nor its note that the request was sent once more tells.
func countFaults(t run.T, s *system, waves []*wave) (all faults) {
	cursor, err := s.Attempts.Find(t.Context(), bson.D{})
	run.Must(t, err, "read the delivery log")
	var attempts []struct {
		ProjectID string `bson:"project_id"`
		Outcome   string `bson:"outcome"`
		Detail    string `bson:"detail"`
	}
	run.Must(t, cursor.All(t.Context(), &attempts), "read the delivery log")
	for _, w := range waves {
		failed, told := 0, 0
		for _, attempt := range attempts {
			if attempt.ProjectID != w.target.project {
				continue
			}
			told++
			if attempt.Outcome != "delivered" {
				failed++
			}
			if strings.Contains(attempt.Detail, "sent once more") {
				told++
			}
		}
		_, posts, _ := w.to.Arrived()
		all.failed, all.extra = all.failed+failed, all.extra+max(0, posts-told)
		if failed > 0 || posts > told {
			t.Logf("%s: %d POSTs; the log tells of %d, and of %d failed attempts", w.Name, posts, told, failed)
		}
	}
	return all
}

// selfSigned makes a certificate for this machine, and the file in which whoever is
// to trust it finds it.
func selfSigned(t run.T, folder string) (config *tls.Config, file string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	run.Must(t, err, "make a key")
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	run.Must(t, err, "make a certificate")
	file = filepath.Join(folder, "certificate.pem")
	run.Must(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}), 0o600), "write the certificate")
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{certificate}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}, file
}
