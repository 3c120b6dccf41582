package httpapi

import (
	"crypto/sha256"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
	"golang.org/x/time/rate"
)

// Rate is how much one caller may ask for.
type Rate struct {
	// PerSecond is how many requests a second in the long run; 0 is no limit.
	PerSecond float64
	// Burst is how many at once.
	Burst int
}

// maxBuckets bounds the buckets of one generation: with two of them, about 5 MB.
const maxBuckets = 10_000

// bucketKey tells callers apart without keeping anything of theirs.
type bucketKey [sha256.Size]byte

// buckets holds one token bucket a caller, and forgets the callers that were not
// seen for long when there are too many. Whoever is forgotten begins anew. It is
// safe for concurrent use.
type buckets struct {
	rate Rate

	mu sync.Mutex
	// young are those seen since the last turn of generations, old those seen in
	// the one before.
	young, old map[bucketKey]*rate.Limiter
}

func newBuckets(r Rate) *buckets {
	return &buckets{rate: r, young: map[bucketKey]*rate.Limiter{}}
}

// knows reports whether the caller has a bucket.
func (b *buckets) knows(key bucketKey) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.young[key] != nil || b.old[key] != nil
}

// take counts one request. It returns how long to wait when there was one too
// many; such a request does not count.
func (b *buckets) take(key bucketKey, now time.Time) time.Duration {
	reservation := b.bucket(key).ReserveN(now, 1)
	wait := reservation.DelayFrom(now)
	if wait > 0 {
		reservation.CancelAt(now)
	}
	return wait
}

func (b *buckets) bucket(key bucketKey) *rate.Limiter {
	b.mu.Lock()
	defer b.mu.Unlock()
	if found := b.young[key]; found != nil {
		return found
	}
	bucket := b.old[key]
	if bucket == nil {
		bucket = rate.NewLimiter(rate.Limit(b.rate.PerSecond), b.rate.Burst)
	}
	if len(b.young) >= maxBuckets {
		b.old, b.young = b.young, map[bucketKey]*rate.Limiter{}
	}
	b.young[key] = bucket
	return bucket
}

// paced refuses a caller who asks too often, before anybody is asked who that is.
//
// Whoever was let in before is counted by token; everybody else, with a token or
// without, by address. So tokens that are made up do not get around the limit,
// and a stranger behind the same proxy uses up nothing of those who are let in.
func (s *server) paced(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		path := c.Request().URL.Path
		isFree := path == pathHealth || s.Pages != nil && s.Pages.IsFree(path)
		if s.Rate.PerSecond == 0 || isFree || innerOf(c.Request()) != nil {
			return next(c)
		}
		counted := sha256.Sum256([]byte("address " + network(c.RealIP())))
		for _, token := range s.presented(c.Request()) {
			if key := tokenKey(token); s.callers.knows(key) {
				counted = key
				break
			}
		}
		if wait := s.callers.take(counted, time.Now()); wait > 0 {
			return tooMany(wait)
		}
		err := next(c)
		if token, letIn := c.Get(keyToken).(string); letIn {
			s.callers.bucket(tokenKey(token))
		}
		return err
	}
}

func tokenKey(token string) bucketKey { return sha256.Sum256([]byte("token " + token)) }

func tooMany(wait time.Duration) *problem {
	seconds := max(1, int(math.Ceil(wait.Seconds())))
	p := answer(http.StatusTooManyRequests, fmt.Sprintf("Too many requests. Try again in %d seconds.", seconds))
	if seconds == 1 {
		p = answer(http.StatusTooManyRequests, "Too many requests. Try again in 1 second.")
	}
	p.retryAfter = strconv.Itoa(seconds)
	return p
}

// network is what one caller without a token has: an IPv4 address, or the half
// of an IPv6 address that names a network.
func network(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return address
	}
	ip = ip.Unmap()
	if ip.Is4() {
		return ip.String()
	}
	prefix, _ := ip.WithZone("").Prefix(64) // it is an IPv6 address
	return prefix.String()
}

// addressOf tells where a request comes from. Headers can be made up, so they
// are believed only from these proxies.
func addressOf(proxies []netip.Prefix) echo.IPExtractor {
	if len(proxies) == 0 {
		return echo.ExtractIPDirect()
	}
	trusted := []echo.TrustOption{echo.TrustLoopback(false), echo.TrustLinkLocal(false), echo.TrustPrivateNet(false)}
	for _, proxy := range proxies {
		proxy = proxy.Masked()
		trusted = append(trusted, echo.TrustIPRange(&net.IPNet{
			IP: proxy.Addr().AsSlice(), Mask: net.CIDRMask(proxy.Bits(), proxy.Addr().BitLen()),
		}))
	}
	return echo.ExtractIPFromXFFHeader(trusted...)
}
