// A receiver of dembrane webhooks that you can copy. Go 1.22 or newer, standard
// library only.
//
//	WEBHOOK_SECRET='whsec_…' go run receiver.go
//
// It verifies what arrives, writes it into a folder, answers, and only then works on
// it. The folder is what makes it safe: an event that has been answered is worked on
// even if this program is killed, and one that arrives twice is worked on once. With
// a database, a table with a unique column for the id does the same.
//
// Put a proxy that speaks TLS in front of it, and what you want to happen into handle.
package main

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	tolerance    = 5 * time.Minute
	maxBodyBytes = 32 << 20
	retryEvery   = 10 * time.Second
)

// Event has what this receiver reads of a body. Fields that you do not name are
// passed over, and more may come.
type Event struct {
	Event     string `json:"event"`
	ID        string `json:"id"`
	Timestamp string `json:"timestamp"`
}

// handle is your work. If it fails, it is tried again later; after a crash it may
// run twice.
func handle(e Event) error {
	fmt.Println(e.Event, e.ID)
	return nil
}

func main() {
	key, err := signingKey(os.Getenv("WEBHOOK_SECRET"))
	if err != nil {
		log.Fatal(err)
	}
	inbox := cmp.Or(os.Getenv("INBOX"), "inbox")
	// The folder "done" has an empty file for each event; delete those older than a month.
	r := &receiver{key: key, inbox: inbox, done: filepath.Join(inbox, "done"), arrived: make(chan struct{}, 1)}
	if err := os.MkdirAll(r.done, 0o700); err != nil {
		log.Fatal(err)
	}
	go r.work()
	server := &http.Server{
		Addr: "127.0.0.1:" + cmp.Or(os.Getenv("PORT"), "8000"), Handler: r,
		ReadTimeout: 30 * time.Second, WriteTimeout: 30 * time.Second,
	}
	log.Fatal(server.ListenAndServe())
}

func signingKey(secret string) ([]byte, error) {
	key := []byte(secret)
	if encoded, ok := strings.CutPrefix(secret, "whsec_"); ok {
		var err error
		if key, err = base64.RawStdEncoding.DecodeString(strings.TrimRight(encoded, "=")); err != nil {
			return nil, err
		}
	}
	if len(key) == 0 {
		return nil, errors.New("set WEBHOOK_SECRET: without one, anybody can sign")
	}
	return key, nil
}

type receiver struct {
	key         []byte
	inbox, done string
	keeping     sync.Mutex
	arrived     chan struct{}
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	if request.Method != http.MethodPost {
		http.Error(w, "POST only", http.StatusMethodNotAllowed)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, request.Body, maxBodyBytes))
	if err != nil {
		http.Error(w, "cannot read the body", http.StatusRequestEntityTooLarge)
		return
	}
	if err := r.verify(request.Header, body); err != nil {
		http.Error(w, err.Error(), http.StatusUnauthorized)
		return
	}
	isNew, err := r.keep(request.Header.Get("webhook-id"), body)
	switch {
	case err != nil:
		log.Print(err)
		http.Error(w, "cannot keep it: send it again", http.StatusInternalServerError)
	case isNew:
		w.WriteHeader(http.StatusAccepted)
	}
}

var (
	validID        = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	validTimestamp = regexp.MustCompile(`^[0-9]{1,12}$`)
)

// verify returns nil when a delivery is ours and fresh.
func (r *receiver) verify(header http.Header, body []byte) error {
	id, timestamp := header.Get("webhook-id"), header.Get("webhook-timestamp")
	if !validID.MatchString(id) || !validTimestamp.MatchString(timestamp) {
		return errors.New("webhook-id or webhook-timestamp is missing or malformed")
	}
	mac := hmac.New(sha256.New, r.key)
	mac.Write([]byte(id + "." + timestamp + "."))
	mac.Write(body)
	expected := []byte("v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	// While a secret is being changed there are two signatures; one that fits is enough.
	matches := false
	for _, signature := range strings.Split(header.Get("webhook-signature"), " ") {
		matches = matches || hmac.Equal([]byte(signature), expected)
	}
	if !matches {
		return errors.New("no signature matches")
	}
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil {
		return err
	}
	if time.Since(time.Unix(seconds, 0)).Abs() > tolerance {
		return errors.New("webhook-timestamp is too far from this computer's clock")
	}
	return nil
}

// keep writes the event down, unless it is known.
func (r *receiver) keep(id string, body []byte) (isNew bool, err error) {
	r.keeping.Lock()
	defer r.keeping.Unlock()
	path := filepath.Join(r.inbox, id+".json")
	if exists(path) || exists(filepath.Join(r.done, id)) {
		return false, nil
	}
	part, err := os.Create(path + ".part")
	if err != nil {
		return false, err
	}
	_, err = part.Write(body)
	if err := errors.Join(err, part.Sync(), part.Close()); err != nil {
		return false, err
	}
	if err := os.Rename(part.Name(), path); err != nil {
		return false, err
	}
	select {
	case r.arrived <- struct{}{}:
	default: // it has been told, and will see this one too
	}
	return true, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// work begins with what was left when this program last ended.
func (r *receiver) work() {
	for {
		paths, err := filepath.Glob(filepath.Join(r.inbox, "*.json"))
		if err != nil {
			log.Fatal(err)
		}
		for _, path := range paths {
			if err := r.workOn(path); err != nil {
				log.Printf("%s: %v", path, err) // one event must not stop the others
			}
		}
		select {
		case <-r.arrived:
		case <-time.After(retryEvery):
		}
	}
}

func (r *receiver) workOn(path string) error {
	done := filepath.Join(r.done, strings.TrimSuffix(filepath.Base(path), ".json"))
	if !exists(done) {
		body, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var e Event
		if err := json.Unmarshal(body, &e); err != nil {
			return err
		}
		if err := handle(e); err != nil {
			return err
		}
		if err := os.WriteFile(done, nil, 0o600); err != nil {
			return err
		}
	}
	return os.Remove(path)
}
